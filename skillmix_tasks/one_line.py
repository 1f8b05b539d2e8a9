"""A user's mistake ends a run with one sentence, also under plain `lm_eval`."""

from __future__ import annotations

import sys
import traceback
from types import TracebackType

from grading import UserError
from grading.keys import redact


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, UserError):
        print(f"Error: {redact(str(error))}", file=sys.stderr)  # noqa: T201
    else:
        print(redact("".join(traceback.format_exception(kind, error, trace))), end="", file=sys.stderr)  # noqa: T201


def show_user_errors_in_one_line() -> None:
    """From now on an uncaught UserError prints its sentence and no traceback; the exit status stays 1.

    A traceback shows no key: the errors of HTTP clients repeat headers and replies.
    """
    sys.excepthook = _show
