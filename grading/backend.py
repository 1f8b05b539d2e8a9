"""What a judge must offer to the engine, whether it answers over HTTP or in this process."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Protocol

from grading.verdict import State, Usage

Message = dict[str, str]  # {"role": "system" | "user", "content": text}


@dataclass(frozen=True)
class VoteCall:
    """One call to a model: for a vote of a judge, or without `criteria` for a text.

    `key` identifies the call in the store. `criteria` are the ids that the reply must mark, in order.
    `answer` is the text, as it stands in the messages, from which evidence has to be quoted. `seed` differs from
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
    with the reason in `detail`. A reply with state API_FAILED was not paid for and is not stored. `refused` names
    the parameters that the call went without, because the endpoint does not take them.
    """

    state: State
    text: str = ""
    detail: str = ""
    usage: Usage = field(default_factory=Usage)
    refused: frozenset[str] = frozenset()


OnReply = Callable[[VoteCall, Reply], None]


class Backend(Protocol):
    """A judge that answers calls, in any order, and reports each reply as soon as it is there."""

    @property
    def refused(self) -> frozenset[str]:
        """The parameters that it has found out not to be taken."""

    def check(self) -> None:
        """Ask, at no cost, whether the judge can answer at all; raise UserError in one sentence if not."""

    def run(self, calls: Iterable[VoteCall], on_reply: OnReply, save: Callable[[], None]) -> None:
        """Answer every call and hand each reply to `on_reply`; `save` puts on disk what `on_reply` was given.

        One thread at a time is in either. `calls` is taken from as late as the backend can, because what it
        yields depends on the replies so far (grading.budget).
        """
