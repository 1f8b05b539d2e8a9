"""Counts and lists as a sentence has them."""

from __future__ import annotations

from collections.abc import Sequence


def many(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural but for 1; `plural` where an s does not make it."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Sequence[str]) -> str:
    """The names with commas and "and"; of more than six the first three, and how many others there are."""
    if len(names) > 6:
        return f"{', '.join(names[:3])} and {len(names) - 3} others"
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
