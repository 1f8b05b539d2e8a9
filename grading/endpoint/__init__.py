"""A model over HTTP, at any OpenAI-compatible endpoint: requests, pace, retries and replies.

Calls come in; each reply is saved before it goes out.
"""
