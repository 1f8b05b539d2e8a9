"""A model in this process, with its reply bound to the form of a verdict.

The only sub-package that needs torch and transformers; it is imported when such a judge is used.
"""
