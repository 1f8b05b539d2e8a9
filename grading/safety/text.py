"""Text from models and endpoints, made safe to read, store, send and open."""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

_FORMULA = tuple("=+-@")  # the beginnings of a formula in a spreadsheet
_MARKUP = re.compile(r"([\\`*_\[\]<>|#~])")
_LONE = dict.fromkeys(range(55296, 57344), "�")


def encodable(text: str) -> str:
    """`text` with lone surrogates replaced: a JSON escape can make them, and UTF-8 cannot hold them."""
    return text.translate(_LONE)


def plain(text: str) -> str:
    """Text that Markdown shows as it is, on one line."""
    return _MARKUP.sub(r"\\\1", " ".join(text.split()))


def csv_cell(value: Any) -> Any:
    """The cell of a CSV file for `value`: text that a spreadsheet would run gets an apostrophe, numbers stay."""
    return f"'{value}" if isinstance(value, str) and _is_formula(value) else value


def csv_text(cell: str) -> str:
    """The text that `csv_cell` made the cell of."""
    return cell[1:] if cell.startswith("'") and _is_formula(cell[1:]) else cell


def write_csv(path: Path, fields: Sequence[str], records: Iterable[Mapping[str, Any]]) -> None:
    """Write a CSV file with the columns `fields`; each cell as `csv_cell` has it."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=fields)
        writer.writeheader()
        writer.writerows({name: csv_cell(value) for name, value in one.items()} for one in records)


def _is_formula(text: str) -> bool:
    """Whether text begins like a formula, behind blanks too, and in letters of any width."""
    return text.startswith(("\t", "\r")) or unicodedata.normalize("NFKC", text).lstrip().startswith(_FORMULA)
