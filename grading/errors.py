"""Problems that stop a run and that the user can fix, each in one sentence with what to type."""

from __future__ import annotations

import re
import sys
import traceback
from types import TracebackType
from typing import TYPE_CHECKING, NamedTuple

from grading.keys import redact

if TYPE_CHECKING:
    from collections.abc import Sequence

    from pydantic_core import ErrorDetails, ValidationError


_MOST_DIGITS = 10**20  # whose digits are shown


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
    """An invalid field of data: its `place` is "" for all of the data, and `kind` is pydantic's."""

    place: str
    kind: str
    reason: str  # with the value if that is a number: a text may be a secret

    def __str__(self) -> str:
        return f"{self.place}: {self.reason}" if self.place else self.reason


_KINDS = {  # what is expected, and pydantic's names for its absence
    "text": "string_type",
    "a whole number": "int_type int_parsing int_from_float",
    "a number": "float_type float_parsing",
    "true or false": "bool_type bool_parsing",
    "a list": "list_type tuple_type",
    "an object of names and values": "dict_type model_type model_attributes_type",
    "a date such as 2027-01-31": "date_type date_parsing date_from_datetime_parsing",
    "a finite number": "finite_number",
    "{expected}": "literal_error enum",
    "a number above {gt}": "greater_than",
    "{ge:,} or more": "greater_than_equal",
    "a number below {lt}": "less_than",
    "{le:,} or less": "less_than_equal",
}
_EXPECTED = {kind: words for words, kinds in _KINDS.items() for kind in kinds.split()}
_WRONG = {
    "missing": "it is missing",
    "extra_forbidden": "nothing reads a field of this name",
    "string_too_short": "the text is too short",
    "string_too_long": "the text is too long: at most {max_length:,} characters are allowed",
    "too_short": "the list is too short: {min_length} is the least",
    "too_long": "the list is too long: at most {max_length:,} are allowed",
    "json_invalid": "it is not valid JSON ({error})",
}
# The parts of a place that name the types between which a value may choose, as pydantic writes them.
_TYPE = re.compile(
    r"(str|int|float|bool|none|\[key\])|(dict|list|tuple|union|nullable|function|constrained|lax|model)[\[(-].*"
)


def first_fault(error: ValidationError) -> Fault:
    """The first fault that pydantic found, in our words."""
    return all_faults(error)[0]


def all_faults(error: ValidationError) -> list[Fault]:
    """The fault of each field that is wrong, in our words."""
    by_field: dict[tuple[int | str, ...], list[tuple[tuple[int | str, ...], ErrorDetails]]] = {}
    for one in error.errors():
        fields = _fields(one["loc"])
        by_field.setdefault(fields[:1], []).append((fields, one))
    return [_fault(found) for found in by_field.values()]


def _fault(found: Sequence[tuple[tuple[int | str, ...], ErrorDetails]]) -> Fault:
    """A field's fault from what pydantic says of it: an error for each type that the value may have."""
    fields, first = found[0]
    if len(fields) < len(first["loc"]):  # of several types, the one that the value fits best
        fields = max((place for place, _ in found if place[: len(fields)] == fields), key=len)
        first = next(one for place, one in found if place == fields)
    expected = list(
        dict.fromkeys(
            _EXPECTED[one["type"]].format(**one.get("ctx", {}))
            for place, one in found
            if place == fields and one["type"] in _EXPECTED
        )
    )
    if first["type"] in _EXPECTED:
        reason = f"{' or '.join(expected)} is expected{_shown(first['input'])}"
        reason += ": put it in quotes" if expected == ["text"] and ", not " in reason else ""
    elif first["type"] in _WRONG:
        reason = _WRONG[first["type"]].format(**first.get("ctx", {}))
    else:
        reason = first["msg"].removeprefix("Value error, ")
    return Fault(_place(fields), first["type"], reason)


def _fields(place: tuple[int | str, ...]) -> tuple[int | str, ...]:
    return tuple(part for part in place if isinstance(part, int) or not _TYPE.fullmatch(part))


def _place(fields: tuple[int | str, ...]) -> str:
    words = ""
    for part in fields:
        if isinstance(part, int):
            words += f"{', ' if words else ''}entry {part + 1}"
        elif words:
            words += f"{', ' if words[-1].isdigit() else '.'}{part}"
        else:
            words = part
    return words


def _shown(value: object) -> str:
    """The end of a sentence with the value that is wrong, if it is a number."""
    if not isinstance(value, int | float) or (isinstance(value, int) and abs(value) >= _MOST_DIGITS):
        return ""
    return f", not {str(value).lower() if isinstance(value, bool) else value}"
