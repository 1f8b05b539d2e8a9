"""Text from models and endpoints, made safe to read, store, send and open."""

from __future__ import annotations

import json
import math
import unicodedata
from typing import Any

_FORMULA = tuple("=+-@")  # what a spreadsheet takes for the beginning of a formula
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


def csv_cell(value: Any) -> Any:
    """The cell of a CSV file for `value`: text that a spreadsheet would run gets an apostrophe, numbers stay."""
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def csv_text(cell: str) -> str:
    """The text that `csv_cell` made the cell of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def _is_formula(text: str) -> bool:
    """Whether text begins like a formula, behind blanks too, and in letters of any width."""
    return text.startswith(("\t", "\r")) or unicodedata.normalize("NFKC", text).lstrip().startswith(_FORMULA)
