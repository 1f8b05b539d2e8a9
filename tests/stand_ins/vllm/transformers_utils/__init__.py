"""Tokenizers of the stand-in."""
