"""The verdict on a judge, by the stated thresholds."""

from __future__ import annotations

import pytest

from skillmix_tasks.calibration.agreement import compare
from skillmix_tasks.calibration.record import conclude

YES, NO, OVER, UNDER = (True, True), (False, False), (False, True), (True, False)
GOOD = [YES, YES, NO, YES, NO]


@pytest.mark.parametrize(
    ("answers", "verdict", "said"),
    [
        ([GOOD] * 100, "interchangeable", "for such answers"),
        ([GOOD] * 96 + [[YES, UNDER, NO], [YES, OVER, NO]] * 2, "interchangeable", "for such answers"),
        ([GOOD] * 80 + [[YES, UNDER, NO]] * 20, "stricter", "grants -0.0"),
        ([GOOD] * 80 + [[YES, OVER, NO]] * 20, "more lenient", "grants 0.0"),
        ([[UNDER, YES, NO], [OVER, YES, NO], [UNDER, OVER]] * 30, "not usable", "kappa is below 0.6"),
        # A judge that grants everything; one that denies everything; a yardstick that grants everything.
        ([[YES, OVER, YES]] * 110, "not usable", "kappa 0.00 (no interval: nothing varies)"),
        ([[NO, UNDER, NO]] * 110, "not usable", "kappa 0.00 (no interval: nothing varies)"),
        ([[YES, UNDER, YES]] * 110, "not settled", "too few decisions of both kinds"),
        # Few draws hold both kinds, so that kappa has no interval.
        ([[YES, YES]] * 40 + [[OVER, NO]], "not settled", "too few decisions of both kinds"),
        ([GOOD] * 3, "not settled", "too few"),
        ([GOOD] * 8 + [[YES, UNDER, NO]] * 3 + [[YES, OVER, NO]] * 3, "not settled", "these answers are too few"),
        ([[YES, YES]] * 100, "not settled", "too few decisions of both kinds"),
        ([], "not settled", "too few"),
    ],
)
def test_the_verdict_follows_the_thresholds(answers: list[list[tuple[bool, bool]]], verdict: str, said: str):
    found, sentence = conclude("judge-1", "GPT-4", compare(answers), {})
    assert (found, said in sentence) == (verdict, True), sentence
    assert sentence.startswith("judge-1 is ")


def test_points_without_a_verdict_come_first():
    good = compare([GOOD] * 100)
    assert conclude("j", "people", good, {"ungrounded": 55})[0] == "interchangeable"
    assert conclude("j", "people", good, {"ungrounded": 56})[0] == "not usable"
    verdict, sentence = conclude("j", "people", good, {"api_failed": 1, "ungrounded": 99})
    assert verdict == "not settled"  # the judge is not to blame for what it was never asked
    assert "the same command resumes" in sentence
