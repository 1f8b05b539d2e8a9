"""What a judge must offer to the engine, whether it answers over HTTP or in this process."""

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
    """What came back from one call, before anybody reads it as a verdict.

    `state` is GRADED when there is text to parse, else REFUSED, TRUNCATED, EMPTY, REASONING_ONLY or API_FAILED
    with the reason in `detail`. A reply with state API_FAILED is not stored, costs what its `usage` says, mostly
    nothing, and has a `failure`. `refused` names the parameters that the call went without, because the endpoint
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
    """What takes the replies; one thread at a time is in it."""

    @property
    def ended(self) -> bool:
        """Whether no call may leave any more, also none that was taken already."""

    def again(self, call: VoteCall, usage: Usage) -> bool:
        """Charge `usage` for a failed attempt at `call`; False if no other attempt may be paid for."""

    def take(self, call: VoteCall, reply: Reply) -> None:
        """Take a reply, which is on disk after the next `save`."""

    def save(self) -> None:
        """Put on disk what was taken."""

    def read(self) -> bool:
        """Read one reply that was saved, which takes more time than the others; False if there is none."""


def save_and_read(sink: Sink) -> None:
    """Save what `sink` has taken, and read all of it: for a backend that has nothing else to do meanwhile."""
    sink.save()
    while sink.read():
        pass


class Backend(Protocol):
    """A judge that answers calls, in any order, and reports each reply as soon as it is there."""

    def check(self) -> None:
        """Ask, at no cost, whether the judge can answer at all; raise UserError in one sentence if not."""

    def run(self, calls: Iterable[VoteCall], sink: Sink) -> None:
        """Answer every call and hand each reply to `sink`; what is not read in the end, the caller reads.

        `calls` is taken from as late as the backend can, because what it yields depends on the replies so far
        (grading.cost.budget).
        """
