"""The records that grading passes around: criteria and an answer in, votes and a verdict out.

One vote is one call to the judge; it marks every criterion. A verdict joins the votes by majority (`decide`),
criterion by criterion, and keeps them. "No verdict" is a state with a name, never a zero.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from grading.errors import UserError

MOST_TOKENS = 10_000_000  # of one call; a larger number is invalid, as no context is that long
UngroundedRule = Literal["no_verdict", "not_earned"]  # how grants without true evidence count


class State(StrEnum):
    """Why a vote or a criterion has a verdict, or why it has none."""

    GRADED = "graded"
    PARSE_FAILED = "parse_failed"  # the judge's reply is not a verdict
    REFUSED = "refused"  # the judge declined to answer
    TRUNCATED = "truncated"  # the reply ended at the token limit
    EMPTY = "empty"  # the reply holds no text
    REASONING_ONLY = "reasoning_only"  # the reply holds reasoning and no text
    UNGROUNDED = "ungrounded"  # granted, but the quoted evidence is not in the answer
    API_FAILED = "api_failed"  # no reply: connection, server or request error
    OVER_BUDGET = "over_budget"  # not asked, because the run's cap was reached
    TIED = "tied"  # of a criterion: as many votes of a panel grant it as not


@dataclass(frozen=True)
class Criterion:
    """One yes/no question about an answer.

    `id` names it in the verdict (short, unique in its request); `text` is what the judge reads.
    """

    id: str
    text: str


@dataclass(frozen=True)
class GradingRequest:
    """An answer to be judged against criteria.

    `context` says what the writer was asked to do and holds any definitions that the criteria need.
    Context and criteria are shared by all answers to one question, so they come first in the prompt.
    Raises UserError without criteria, and for texts that are not a str.
    """

    context: str
    criteria: tuple[Criterion, ...]
    answer: str

    def __post_init__(self) -> None:
        for name, text in (("context", self.context), ("answer", self.answer)):
            if not isinstance(text, str):
                raise UserError(f"The {name} of a request is a {type(text).__name__}, not a str: give its text.")
        if not self.criteria:
            raise UserError(
                'A request needs at least one criterion, such as Criterion("rain", "It is about rain.").'
            )
        if not isinstance(self.criteria, tuple | list) or not all(
            isinstance(one, Criterion) and isinstance(one.id, str) and isinstance(one.text, str)
            for one in self.criteria
        ):
            raise UserError(
                "The criteria of a request are a tuple of Criterion, such as "
                '(Criterion("rain", "It is about rain."),).'
            )


@dataclass(frozen=True)
class Mark:
    """The decision of one vote on one criterion: GRADED with `earned`, or UNGROUNDED."""

    state: State
    earned: bool | None
    evidence: str


@dataclass(frozen=True)
class Usage:
    """Tokens of one vote; `cached` is the part of `prompt` that the provider read from its cache.

    A prompt that several votes share in one request is counted with the first of them. False if nothing is known.
    Numbers from outside come in by `read`.
    """

    prompt: int = 0
    completion: int = 0
    cached: int = 0

    @classmethod
    def read(cls, prompt: object, completion: object, cached: object) -> Usage:
        """The usage of numbers from outside; it is unknown if `prompt` or `completion` is not a count.

        A `cached` that is not a count, or above `prompt`, is 0: it would make a prompt cheaper than it can be.
        """
        known, told = counted(prompt), counted(completion)
        if known is None or told is None:
            return cls()
        saved = counted(cached) or 0
        return cls(known, told, saved if saved <= known else 0)

    def __bool__(self) -> bool:
        return bool(self.prompt or self.completion)

    def __add__(self, other: Usage) -> Usage:
        return Usage(self.prompt + other.prompt, self.completion + other.completion, self.cached + other.cached)

    def times(self, factor: float) -> Usage:
        """So many times as much, in whole tokens."""
        return Usage(*(round(tokens * factor) for tokens in (self.prompt, self.completion, self.cached)))


def counted(value: object) -> int | None:
    """A number of tokens from outside, from 0 to MOST_TOKENS; None for any other value."""
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= MOST_TOKENS:
        return None
    return math.ceil(value)


@dataclass(frozen=True)
class Vote:
    """One call to the judge, or the reason why it gave nothing.

    `marks` maps each criterion's id to its mark and is empty unless `state` is GRADED. `number` is the vote's
    number within its request and judge, from 0. `reply` is the judge's raw text. `stored` says that the reply was
    read from the verdict store and not paid for in this run. `judge` is the model that cast it.
    """

    number: int
    state: State
    marks: dict[str, Mark] = field(default_factory=dict)
    reply: str = ""
    detail: str = ""
    usage: Usage = field(default_factory=Usage)
    stored: bool = False
    judge: str = ""


@dataclass(frozen=True)
class Decision:
    """The majority on one criterion: `earned` is None without a majority, and `state` then says why.

    A criterion that counts as not earned only because its grants were without true evidence is False, UNGROUNDED.
    """

    earned: bool | None
    state: State


@dataclass(frozen=True)
class Verdict:
    """All votes on one answer, and what their majority decides for each criterion's id."""

    votes: tuple[Vote, ...]
    decisions: dict[str, Decision]

    @property
    def earned(self) -> dict[str, bool | None]:
        """For each criterion's id whether it is earned; None where there is no verdict."""
        return {criterion: decision.earned for criterion, decision in self.decisions.items()}

    @property
    def share(self) -> float | None:
        """The share of the criteria that are earned; None if one of them has no verdict."""
        earned = [decision.earned for decision in self.decisions.values()]
        return None if None in earned else sum(map(bool, earned)) / len(earned)

    def evidence(self, criterion: str) -> list[str]:
        """The votes' quotes from the text for a criterion that they granted, each once."""
        marks = [vote.marks[criterion] for vote in self.votes if criterion in vote.marks]
        return list(dict.fromkeys(mark.evidence for mark in marks if mark.earned))


@dataclass(frozen=True)
class Ballot:
    """The votes of one judge, of which `asked` are to count."""

    votes: Sequence[Vote]
    asked: int


def decide(
    ballots: Sequence[Ballot], criteria: Sequence[str], ungrounded: UngroundedRule = "no_verdict"
) -> Verdict:
    """Join all votes criterion by criterion; a side wins with more than half of the votes that are to count.

    So two votes against one lost are a majority of three, and one to one is not. Of each judge only the first
    `asked` votes with a mark for the criterion count, so that a vote which another criterion needed changes
    nothing here. A criterion without a majority takes the commonest reason for which its votes are missing;
    where none is missing, judges with an even number of votes in sum are TIED. With "not_earned", votes that
    granted the criterion without true evidence, and got no better when asked again, count against it where there
    is not a majority without them.
    """
    votes = tuple(vote for ballot in ballots for vote in ballot.votes)
    return Verdict(votes, {criterion: _decide(ballots, criterion, ungrounded) for criterion in criteria})


def _decide(ballots: Sequence[Ballot], criterion: str, ungrounded: UngroundedRule) -> Decision:
    sides: Counter[bool] = Counter()
    lost: Counter[State] = Counter()
    against = 0  # with the grants that have no true evidence
    for ballot in ballots:
        earned: list[bool] = []
        for vote in ballot.votes:
            mark = vote.marks.get(criterion)
            if mark is not None and mark.earned is not None:
                earned.append(mark.earned)
            else:
                lost[vote.state if mark is None else mark.state] += 1
        sides.update(earned[: ballot.asked])
        # Of the votes first requested: a retried vote still counts once.
        marks = [vote.marks.get(criterion) for vote in ballot.votes[: ballot.asked]]
        without_evidence = sum(mark is not None and mark.state is State.UNGROUNDED for mark in marks)
        against += (earned + [False] * without_evidence)[: ballot.asked].count(False)
    asked = sum(ballot.asked for ballot in ballots)
    for side, count in sides.items():
        if 2 * count > asked:
            return Decision(side, State.GRADED)
    if ungrounded == "not_earned" and 2 * against > asked:
        return Decision(False, State.UNGROUNDED)
    if sum(sides.values()) == asked:
        return Decision(None, State.TIED)
    return Decision(None, lost.most_common(1)[0][0])
