"""A problem that stops a run and that the user can fix: one sentence that says what is wrong and what to type."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from grading.keys import redact

if TYPE_CHECKING:
    from pydantic_core import ValidationError


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


class Fault(NamedTuple):
    """A field that data got wrong; its `place` is "" for all of the data, `kind` and `message` are pydantic's."""

    place: str
    kind: str
    message: str
    reason: str  # the message, with the value if that is a number: a text may be a secret

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


def first_fault(error: ValidationError) -> Fault:
    """The first thing that pydantic found wrong."""
    first = error.errors()[0]
    value, message = first["input"], first["msg"].removeprefix("Value error, ")
    shown = isinstance(value, int | float) and (isinstance(value, float) or abs(value) < 1e20)
    place, reason = ".".join(map(str, first["loc"])), f"{message}, not {value}" if shown else message
    return Fault(place, first["type"], message, reason)
