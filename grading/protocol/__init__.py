"""The messages to a judge and the reading of its reply: prompt, parser, quotes and untrusted text.

A grading request comes in and messages go out; a reply comes in and a vote goes out. No I/O.
"""
