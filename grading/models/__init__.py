"""The description of a judge: the pinned spec, the known judges, prices, weights and retirement dates.

Names and settings come in; a `ModelSpec` goes out. It opens no endpoint and holds no key.
"""
