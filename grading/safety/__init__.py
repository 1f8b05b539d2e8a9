"""Input from outside, made safe: limits on sizes, a sandbox for templates, clean text, and complete files.

Every package reads files of others, and writes its own, through this package.
"""
