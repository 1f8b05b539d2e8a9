"""Why an endpoint did not answer: a cause, its status, and its own words, counted and with what to type.

48 votes failed: 400 "This response_format type is unavailable now"
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, ClassVar, Protocol

from grading.verdict import State

MOST_WORDS = 300  # characters of an endpoint's own words
_MOST_KINDS = 100  # that are kept apart in one run; words of an endpoint may be different each time
_SHOWN = 3  # kinds in one sentence
_VARIABLE = re.compile(r"\S*\d\S*")  # numbers, ids and times, which differ between equal failures


class Cause(StrEnum):
    """What is wrong, as far as the endpoint says it."""

    KEY = "key_refused"
    CREDITS = "credits_used_up"  # or a quota that no wait within a run renews
    MODEL = "model_unknown"
    REGION = "region_refused"
    NO_CHAT = "no_chat"  # the address has no chat completions
    REFUSED = "request_refused"
    TOO_LONG = "prompt_too_long"
    BUSY = "at_its_limit"
    SERVER = "server_error"
    NO_REPLY = "no_reply"  # nothing came, or it broke off
    NOT_A_CHAT = "not_a_chat_reply"  # a status of success around something else


class Asked(Protocol):
    """What is read of the spec of the model that was asked."""

    role: ClassVar[str]

    @property
    def base_url(self) -> str:
        """Its address."""

    @property
    def key_variable(self) -> str:
        """The environment variable of its key."""

    def option(self, name: str) -> str:
        """What sets it, for the end of a sentence."""


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
        """What equal failures share."""
        return self.cause, self.status, _VARIABLE.sub("#", self.words)


def remedy(cause: Cause, spec: Asked) -> str:
    """What the user does about it, as the end of a sentence."""
    model, url = spec.option("MODEL"), spec.option("BASE_URL")
    return {
        Cause.KEY: f"set {spec.key_variable} to a valid key",
        Cause.CREDITS: "add credits or raise the quota of the account",
        Cause.MODEL: f"set {model} to a model that {spec.base_url} serves",
        Cause.REGION: f"name another endpoint with {url}",
        Cause.NO_CHAT: f"set {url} to the right address, which usually ends in /v1",
        Cause.REFUSED: f"name another {spec.role} with {model} and {url}, or change its parameters",
        Cause.TOO_LONG: f"set max_tokens lower, or name a {spec.role} with a longer context with {model}",
        Cause.BUSY: "run it again later, or with a lower concurrency",
        Cause.SERVER: "run it again when the endpoint works",
        Cause.NO_REPLY: f"check the connection and {url}, then run it again",
        Cause.NOT_A_CHAT: f"check that {url} is the address of an OpenAI-compatible endpoint",
    }[cause]


class Failures:
    """Failures counted by their kind; the first words of a kind are kept."""

    def __init__(self) -> None:
        self._first: dict[tuple[Cause, int | None, str], Failure] = {}
        self._counts: Counter[tuple[Cause, int | None, str]] = Counter()

    def __bool__(self) -> bool:
        return bool(self._counts)

    def add(self, failure: Failure, count: int = 1) -> None:
        """Count one more."""
        kind = failure.kind
        if kind not in self._first and len(self._first) >= _MOST_KINDS:
            failure = Failure(failure.cause, failure.status)
            kind = failure.kind
        self._first.setdefault(kind, failure)
        self._counts[kind] += count

    def total(self) -> int:
        """How many there were."""
        return self._counts.total()

    def ranked(self) -> list[tuple[Failure, int]]:
        """Each kind with its number, the commonest first."""
        return [(self._first[kind], count) for kind, count in self._counts.most_common()]

    def record(self, spec: Asked) -> list[dict[str, Any]]:
        """The kinds as results carry them."""
        return [
            {
                "cause": failure.cause.value,
                "status": failure.status,
                "words": failure.words,
                "count": count,
                "remedy": remedy(failure.cause, spec),
            }
            for failure, count in self.ranked()
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
    """What failed and what to do about it, the commonest first; empty if nothing failed."""
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
