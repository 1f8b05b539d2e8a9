"""Why an endpoint did not answer: a cause, its status, and its own words, counted and with what to type.

48 votes failed: 400 "This response_format type is unavailable now"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from grading.verdict import State

MOST_WORDS = 300  # characters of an endpoint's own words
_MOST_KINDS = 100  # that are kept apart in one run; words of an endpoint may be different each time
_SHOWN = 3  # kinds in one sentence
_VARIABLE = re.compile(r"\S*\d\S*")  # numbers, ids and times, which differ between equal failures


class Cause(StrEnum):
    """The cause of a failure, as far as the endpoint reports it."""

    KEY = "key_refused"
    CREDITS = "credits_used_up"  # or a quota that is not renewed within a run
    MODEL = "model_unknown"
    REGION = "region_refused"
    NO_CHAT = "no_chat"  # the address has no chat completions
    REFUSED = "request_refused"
    TOO_LONG = "prompt_too_long"
    BUSY = "at_its_limit"
    SERVER = "server_error"
    NO_REPLY = "no_reply"  # nothing came, or it broke off
    NOT_A_CHAT = "not_a_chat_reply"  # a status of success around something else


# No later request of a run would get another answer.
FINAL = frozenset({Cause.KEY, Cause.CREDITS, Cause.MODEL, Cause.REGION, Cause.NO_CHAT})


@dataclass(frozen=True)
class Failure:
    """One failed call: `status` is None where no reply came; `words` are the endpoint's, redacted."""

    cause: Cause
    status: int | None = None
    words: str = ""

    def __str__(self) -> str:
        words = f'"{self.words}"' if self.words and self.status is not None else self.words
        return " ".join(part for part in (str(self.status or ""), words) if part) or self.cause.value

    @property
    def kind(self) -> tuple[Cause, int | None, str]:
        """The fields that equal failures share."""
        return self.cause, self.status, _VARIABLE.sub("#", self.words)


class Failures:
    """Failures counted by their kind; the first words of a kind are kept."""

    def __init__(self) -> None:
        self._first: dict[tuple[Cause, int | None, str], Failure] = {}  # by kind
        self._counts: Counter[Failure] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, failure: Failure) -> None:
        if failure.kind not in self._first and len(self._first) >= _MOST_KINDS:
            failure = Failure(failure.cause, failure.status)
        self._counts[self._first.setdefault(failure.kind, failure)] += 1

    def record(self, remedy: Callable[[Cause], str]) -> list[dict[str, Any]]:
        """The kinds as results carry them, the most common first."""
        return [
            {
                "cause": failure.cause.value,
                "status": failure.status,
                "words": failure.words,
                "count": count,
                "remedy": remedy(failure.cause),
            }
            for failure, count in self._counts.most_common()
        ]


def joined(records: Iterable[list[Mapping[str, Any]]]) -> list[dict[str, Any]]:
    """The lists of `Failures.record` of several processes as one."""
    counts: dict[tuple[Any, ...], dict[str, Any]] = {}
    for record in records:
        for one in record:
            key = (one["cause"], one["status"], _VARIABLE.sub("#", one["words"]), one["remedy"])
            known = counts.setdefault(key, {**one, "count": 0})
            known["count"] += one["count"]
    return sorted(counts.values(), key=lambda one: -one["count"])


def sentence(record: Iterable[Mapping[str, Any]], product: str) -> str:
    """The failures with advice, the most common first; empty if nothing failed."""
    kinds = list(record)
    parts = []
    for one in kinds[:_SHOWN]:
        shown = Failure(Cause(one["cause"]), one["status"], one["words"])
        number = f"{one['count']} {product}{'' if one['count'] == 1 else 's'}"
        parts.append(f"{number} failed: {shown} ({one['remedy']})")
    if further := sum(one["count"] for one in kinds[_SHOWN:]):
        parts.append(f"{further} more failed in other ways")
    return "; ".join(parts)


def limit_hint(states: Mapping[str, int], max_tokens: int) -> str:
    """Advice about replies that the limit cut off; empty if no reply was."""
    cut = sum(states.get(state.value, 0) for state in (State.TRUNCATED, State.REASONING_ONLY))
    return f"replies end at max_tokens = {max_tokens:,}: set it higher" if cut else ""
