from __future__ import annotations

import itertools

import pytest

from grading import Decision, Mark, State, Vote
from grading.verdict import Ballot, decide


def vote(number: int, mark: str) -> Vote:
    """A vote on one criterion: "y", "n", "u" (ungrounded), or "-" (no reply)."""
    if mark == "-":
        return Vote(number, State.API_FAILED)
    earned = {"y": True, "n": False, "u": None}[mark]
    return Vote(number, State.GRADED, {"c": Mark(State.UNGROUNDED if mark == "u" else State.GRADED, earned, "")})


def cast(marks: str) -> list[Vote]:
    return [vote(number, mark) for number, mark in enumerate(marks)]


@pytest.mark.parametrize(
    ("marks", "decision"),
    [
        ("yyy", Decision(True, State.GRADED)),
        ("yyn", Decision(True, State.GRADED)),
        ("ynn", Decision(False, State.GRADED)),
        ("yy-", Decision(True, State.GRADED)),  # two against one lost are a majority
        ("n-n", Decision(False, State.GRADED)),
        ("yn-", Decision(None, State.API_FAILED)),  # one to one is none
        ("y--", Decision(None, State.API_FAILED)),  # and one of three is no majority
        ("---", Decision(None, State.API_FAILED)),
        ("yuu", Decision(None, State.UNGROUNDED)),
        ("uuuyny", Decision(True, State.GRADED)),  # lost votes that were asked again
        ("yynnn", Decision(True, State.GRADED)),  # only the first three marks count
    ],
)
def test_a_majority_is_more_than_half_of_the_votes_asked(marks: str, decision: Decision):
    assert decide([Ballot(cast(marks), 3)], ["c"]).decisions == {"c": decision}


@pytest.mark.parametrize(
    ("marks", "decision"),
    [
        ("yyu", Decision(True, State.GRADED)),  # a majority without them stands
        ("nnu", Decision(False, State.GRADED)),
        ("yuu", Decision(False, State.UNGROUNDED)),
        ("uuu", Decision(False, State.UNGROUNDED)),
        ("ynuu", Decision(False, State.UNGROUNDED)),  # asked again and no better
        ("yuuyu", Decision(True, State.GRADED)),  # one of the two got its evidence
        ("y-uu", Decision(None, State.UNGROUNDED)),  # one vote, asked twice, is no majority
        ("u--", Decision(None, State.API_FAILED)),
        ("---", Decision(None, State.API_FAILED)),
    ],
)
def test_grants_without_evidence_can_count_as_not_earned(marks: str, decision: Decision):
    assert decide([Ballot(cast(marks), 3)], ["c"], "not_earned").decisions == {"c": decision}


def test_three_whole_votes_always_decide():
    for marks in itertools.product("yn", repeat=3):
        decision = decide([Ballot(cast("".join(marks)), 3)], ["c"]).decisions["c"]
        assert decision.earned is (marks.count("y") >= 2)


def test_criteria_are_decided_one_by_one():
    marks = {"a": Mark(State.GRADED, True, "x"), "b": Mark(State.GRADED, False, "")}
    verdict = decide([Ballot([Vote(0, State.GRADED, marks)], 1)], ["a", "b"])
    assert (verdict.decisions["a"].earned, verdict.decisions["b"].earned) == (True, False)


@pytest.mark.parametrize(
    ("panel", "decision"),
    [
        (("y", "y"), Decision(True, State.GRADED)),
        (("y", "n"), Decision(None, State.TIED)),
        (("y", "-"), Decision(None, State.API_FAILED)),  # half of the votes is no majority
        (("yyy", "n"), Decision(True, State.GRADED)),
        (("yny", "nny"), Decision(None, State.TIED)),
        (("y", "n", "n"), Decision(False, State.GRADED)),
        (("-yyyn", "nnn"), Decision(None, State.TIED)),  # of each judge only as many marks as it has votes count
        (("unn", "nyn"), Decision(False, State.GRADED)),
    ],
)
def test_all_votes_of_a_panel_count_alike(panel: tuple[str, ...], decision: Decision):
    ballots = [Ballot(cast(marks), 3 if len(marks) > 1 else 1) for marks in panel]
    assert decide(ballots, ["c"]).decisions == {"c": decision}
