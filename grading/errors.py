"""What a user did or met that stops a run: one sentence that says what is wrong and what to type."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class UserError(Exception):
    """A problem that the user can mend; commands print it as one sentence and exit with status 1."""


def wrong_value(fault: ErrorDetails) -> str:
    """What pydantic finds wrong in a sentence's part, with the value if it is a number: text may hold a secret."""
    value = fault["input"]
    shown = isinstance(value, int | float) and (isinstance(value, float) or abs(value) < 1e20)
    return f"{fault['msg']}, not {value}" if shown else fault["msg"]
