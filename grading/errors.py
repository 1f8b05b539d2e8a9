"""A problem that stops a run and that the user can fix: one sentence that says what is wrong and what to type."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING

from grading.keys import redact

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails


class UserError(Exception):
    """A problem that the user can fix; commands print it as one sentence and exit with status 1."""


def show_user_errors_in_one_line() -> None:
    """From now on an uncaught UserError prints its sentence and no traceback; the exit status stays 1.

    A traceback shows no key: the errors of HTTP clients repeat headers and replies.
    """
    sys.excepthook = _show


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, UserError):
        print(f"Error: {redact(str(error))}", file=sys.stderr)  # noqa: T201
    else:
        print(redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)  # noqa: T201


def wrong_value(fault: ErrorDetails) -> str:
    """What pydantic finds wrong in a sentence's part, with the value if it is a number: text may hold a secret."""
    value = fault["input"]
    shown = isinstance(value, int | float) and (isinstance(value, float) or abs(value) < 1e20)
    return f"{fault['msg']}, not {value}" if shown else fault["msg"]
