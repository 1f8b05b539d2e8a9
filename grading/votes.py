"""Joins votes into a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from grading.verdict import Decision, State, UngroundedRule, Verdict, Vote


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
