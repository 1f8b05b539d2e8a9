"""Replies and batches on disk: every paid reply is here before it is used.

Replies come in under the key of their call; a later run with the same call gets them back.
"""
