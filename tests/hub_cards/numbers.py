"""Which numbers a card may hold: those of the records that it was made of, and of its template's own words."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import hub_cards

_NUMBER = re.compile(r"\d+(?:,\d{3})*(?:\.\d+)*(?:e-?\d+)?")


def unknown_numbers(card: str, records: Iterable[Any], *templates: str) -> set[str]:
    """The numbers in a card that are neither in the records (also rounded) nor the template's."""
    folder = Path(next(iter(hub_cards.__path__))) / "templates"
    texts = [(folder / name).read_text(encoding="utf-8") for name in ("_parts.jinja", *templates)]
    known = {number for text in texts for number in _NUMBER.findall(re.sub(r"\{[{%].*?[%}]\}", "", text))}
    for record in records:
        known |= set(_of(record))
    return set(_NUMBER.findall(card)) - known


def _of(value: Any) -> Iterator[str]:
    if isinstance(value, dict):
        for key, one in value.items():
            yield from _of(key)
            yield from _of(one)
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _of(one)
    else:
        yield from _NUMBER.findall(str(value))
        if isinstance(value, int):
            yield f"{value:,}"
        if isinstance(value, float):
            yield f"{value:.3f}"
            yield f"{value:.4g}"
            yield f"{value:.0f}"
            yield f"{value:,.2f}"
