"""Packs read and checked, items drawn from them, and the prompts of both turns.

A pack's name and a seed come in; the same items go out on every machine.
"""
