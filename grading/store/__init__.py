"""Replies and batches on disk: what was paid for is here before it is used."""
