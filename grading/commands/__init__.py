"""What all commands share: options with one help text, tables, counts in words, and the closing lines.

The packages' cli.py files, and what prints for them, import from here.
"""
