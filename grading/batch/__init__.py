"""A model through its provider's Batch API: one submission for all calls, at half the price.

Calls come in; a run that died finds its batches again.
"""
