"""The paper's experiment as data: its file, its tables, and a verdict on each of its claims.

The workflow's steps end in result folders, which `Measured` names; tables.py and claims.py read nothing else.
"""
