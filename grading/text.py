"""Text from models, made safe to store and send."""

from __future__ import annotations

_LONE = dict.fromkeys(range(55296, 57344), "�")


def encodable(text: str) -> str:
    """`text` with lone surrogates replaced: a JSON escape can make them, and UTF-8 cannot hold them."""
    return text.translate(_LONE)
