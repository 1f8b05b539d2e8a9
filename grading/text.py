"""Text from models and endpoints, made safe to read, store and send."""

from __future__ import annotations

import json
import math
from typing import Any

_LONE = dict.fromkeys(range(55296, 57344), "�")


_LONGEST_INTEGER = 40  # digits; Python refuses to convert thousands of them, and with them the JSON around


def parse_json(content: str | bytes) -> Any:
    """The value of JSON text, in which an integer of very many digits reads as infinite.

    Raises ValueError or RecursionError if it is no JSON.
    """
    return json.loads(content, parse_int=_integer)


def _integer(digits: str) -> float:
    return int(digits) if len(digits) < _LONGEST_INTEGER else math.inf


def encodable(text: str) -> str:
    """`text` with lone surrogates replaced: a JSON escape can make them, and UTF-8 cannot hold them."""
    return text.translate(_LONE)
