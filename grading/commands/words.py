"""Counts and lists as a sentence has them."""

from __future__ import annotations

from collections.abc import Iterable


def many(count: int, noun: str, plural: str = "") -> str:
    """A number with its noun, in the plural but for 1; `plural` where an s does not make it."""
    return f"{count:,} {noun if count == 1 else plural or noun + 's'}"


def listed(names: Iterable[str], last: str = " and ") -> str:
    """The names, each once, with `last` before the last; of more than six the first three, and how many others."""
    once = list(dict.fromkeys(names))
    if len(once) > 6:
        return f"{', '.join(once[:3])} and {len(once) - 3} others"
    return last.join(filter(None, (", ".join(once[:-1]), *once[-1:])))
