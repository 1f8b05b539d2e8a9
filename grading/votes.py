"""How votes become a verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from grading.verdict import Decision, State, UngroundedRule, Verdict, Vote


def decide(
    votes: Sequence[Vote], criteria: Sequence[str], asked: int, ungrounded: UngroundedRule = "no_verdict"
) -> Verdict:
    """Join `votes` criterion by criterion; a side wins with more than half of the `asked` votes.

    So two votes against one lost are a majority of three, and one to one is none. Only the first `asked`
    votes with a mark for the criterion count, so that a vote which another criterion needed changes nothing
    here. A criterion without a majority takes the commonest reason for which its votes are missing.
    With "not_earned", votes that granted the criterion without true evidence, and got no better when asked again,
    count against it where there is no majority without them. `asked` must be odd.
    """
    if asked % 2 == 0:
        raise ValueError(f"a majority needs an odd number of votes, not {asked}")
    decisions = {criterion: _decide(votes, criterion, asked, ungrounded) for criterion in criteria}
    return Verdict(tuple(votes), decisions)


def _decide(votes: Sequence[Vote], criterion: str, asked: int, ungrounded: UngroundedRule) -> Decision:
    earned: list[bool] = []
    lost: Counter[State] = Counter()
    for vote in votes:
        mark = vote.marks.get(criterion)
        if mark is not None and mark.earned is not None:
            earned.append(mark.earned)
        else:
            lost[vote.state if mark is None else mark.state] += 1
    for side, count in Counter(earned[:asked]).items():
        if 2 * count > asked:
            return Decision(side, State.GRADED)
    if ungrounded == "not_earned":
        # Of the votes first asked for: asking one again makes no second vote of it.
        marks = [vote.marks.get(criterion) for vote in votes[:asked]]
        without_evidence = sum(mark is not None and mark.state is State.UNGROUNDED for mark in marks)
        against = (earned + [False] * without_evidence)[:asked].count(False)
        if 2 * against > asked:
            return Decision(False, State.UNGROUNDED)
    return Decision(None, lost.most_common(1)[0][0])
