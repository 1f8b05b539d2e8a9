"""A user's mistake ends a run with one sentence, also under plain `lm_eval`."""

from __future__ import annotations

import sys
from types import TracebackType

from grading import UserError

_shown_before = sys.excepthook


def _show(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
    if isinstance(error, UserError):
        print(f"Error: {error}", file=sys.stderr)  # noqa: T201
    else:
        _shown_before(kind, error, trace)


def show_user_errors_in_one_line() -> None:
    """From now on an uncaught UserError prints its sentence and no traceback; the exit status stays 1."""
    sys.excepthook = _show
