"""The interface of a judge to the engine, over HTTP or in this process."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Protocol

from grading.failure import Failure
from grading.verdict import State, Usage

Message = dict[str, str]  # {"role": "system" | "user", "content": text}


@dataclass(frozen=True)
class VoteCall:
    """One call to a model: for a vote of a judge, or without `criteria` for a text.

    `key` identifies the call in the store. `criteria` are the ids that the reply must mark, in order.
    `answer` is the text, as it is in the messages, from which evidence has to be quoted. `seed` differs from
    vote to vote.
    """

    key: str
    number: int
    messages: tuple[Message, ...]
    criteria: tuple[str, ...]
    answer: str
    seed: int


@dataclass(frozen=True)
class Reply:
    """The reply to one call, before it is parsed as a verdict.

    `state` is GRADED when there is text to parse, else REFUSED, TRUNCATED, EMPTY, REASONING_ONLY or API_FAILED
    with the reason in `detail`. A reply with state API_FAILED is not stored, costs its `usage`, mostly nothing,
    and has a `failure`. `refused` names the parameters that the call went without, because the endpoint
    does not take them. `estimated` says that `usage` is an estimate: the reply had no usable one.
    """

    state: State
    text: str = ""
    detail: str = ""
    usage: Usage = field(default_factory=Usage)
    refused: frozenset[str] = frozenset()
    estimated: bool = False
    failure: Failure | None = None


class Sink(Protocol):
    """Takes the replies. Not reentrant: one thread at a time."""

    @property
    def ended(self) -> bool:
        """Whether no further call may leave, not even one that was taken already."""

    def again(self, call: VoteCall, usage: Usage) -> bool:
        """Charge `usage` for a failed attempt at `call`; False if no other attempt may be paid for."""

    def take(self, call: VoteCall, reply: Reply) -> None:
        """Take a reply, which is on disk after the next `save`."""

    def save(self) -> None:
        """Write the taken replies to disk."""

    def read(self) -> bool:
        """Parse one saved reply; False if none is left. Slower than the other methods."""


def save_and_read(sink: Sink) -> None:
    """Save and parse all replies that `sink` has taken: for a backend that is idle meanwhile."""
    sink.save()
    while sink.read():
        pass


class Backend(Protocol):
    """A judge that answers calls, in any order, and reports each reply as soon as it is there."""

    def check(self) -> None:
        """Check, at no cost, that the judge can answer; raise UserError in one sentence if not."""

    def run(self, calls: Iterable[VoteCall], sink: Sink) -> None:
        """Answer every call and hand each reply to `sink`. The caller reads the remaining replies.

        The backend takes from `calls` as late as it can, because the iterator depends on the replies so far
        (grading.cost.budget).
        """
