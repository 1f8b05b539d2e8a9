"""Rows and data sets: reading, mixing, splitting, and the search for leaks.

Rows come in; a data set that `datasets` reads goes out.
"""
