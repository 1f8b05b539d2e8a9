"""Judges measured against GPT-4's recorded gradings or people, and scores corrected by it.

A tree of reference gradings comes in; a calibration file and its card go out.
"""
