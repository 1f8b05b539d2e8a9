"""Students' answers on disk: our own answer files, and lm-eval's samples.

Replies come in before the first vote is requested; `skillmix grade` reads them again.
"""
