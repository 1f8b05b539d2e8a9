"""The interface of a judge to the engine, over HTTP or in this process."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
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
    does not take them. `estimated` says that `usage` is an estimate: the reply had no usable one. `stored` says
    that it was read from the store and is not paid for in this run.
    """

    state: State
    text: str = ""
    detail: str = ""
    usage: Usage = field(default_factory=Usage)
    refused: frozenset[str] = frozenset()
    estimated: bool = False
    failure: Failure | None = None
    stored: bool = field(default=False, compare=False)


Group = Sequence[tuple[VoteCall, Reply]]


class Calls(Protocol):
    """The calls of a run, as far as its budget lets them leave."""

    @property
    def ended(self) -> bool:
        """Whether no further call may leave, not even one that was taken already."""

    def __iter__(self) -> Iterator[VoteCall]: ...

    def charge(self, call: VoteCall, usage: Usage) -> bool:
        """Pay `usage` for a failed attempt at `call`; False if no other attempt may be paid for."""


class Backend(Protocol):
    """A judge that answers calls, in any order, and hands on each reply as soon as it is there."""

    def check(self) -> None:
        """Check, at no cost, that the judge can answer; raise UserError in one sentence if not."""

    def replies(self, calls: Calls) -> Generator[Group]:
        """The reply to every call, in groups; the caller has a group on disk before it takes the next one.

        An empty group says that there is time to read one of the earlier replies: none has come meanwhile.
        The backend takes from `calls` as late as it can, because the iterator depends on the replies so far
        (grading.cost.budget).
        """


def at_leisure(group: Group) -> Generator[Group]:
    """`group`, and then time to read it: for a backend that is idle meanwhile."""
    yield group
    for _ in group:
        yield ()
