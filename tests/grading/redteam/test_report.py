from __future__ import annotations

import json

import pytest

from grading import Decision, State, Verdict
from grading.redteam.items import redteam_items
from grading.redteam.report import AttackResult, Outcome, Report, compare, rate

ITEM = redteam_items()[0]  # k = 2: f1, f2, topic


def verdict(marks: str) -> Verdict:
    decided = {"1": Decision(True, State.GRADED), "0": Decision(False, State.GRADED)}
    ids = [criterion.id for criterion in ITEM.request.criteria]
    missing = {"e": Decision(None, State.API_FAILED), "u": Decision(None, State.UNGROUNDED)}
    return Verdict((), dict(zip(ids, [(decided | missing)[mark] for mark in marks], strict=True)))


@pytest.mark.parametrize(
    ("base", "attacked", "outcome", "gained", "lost", "missing"),
    [
        ("000", "000", Outcome.HELD, 0, 0, []),
        ("000", "010", Outcome.SUCCESS, 1, 0, []),
        ("100", "011", Outcome.SUCCESS, 2, 1, []),
        ("100", "000", Outcome.HELD, 0, 1, []),
        ("111", "111", Outcome.NOTHING_TO_GAIN, 0, 0, []),
        ("111", "eee", Outcome.NOTHING_TO_GAIN, 0, 0, []),
        ("000", "00e", Outcome.ERROR, 0, 0, [State.API_FAILED]),
        ("00u", "001", Outcome.ERROR, 0, 0, [State.UNGROUNDED]),
        ("00u", "000", Outcome.HELD, 0, 0, []),  # it earned nothing, whatever the base earns
        ("00e", "01u", Outcome.SUCCESS, 1, 0, []),
    ],
)
def test_an_attack_is_judged_by_two_verdicts(base, attacked, outcome, gained, lost, missing):
    result = compare(ITEM, verdict(base), verdict(attacked))
    assert (result.outcome, len(result.gained), len(result.lost)) == (outcome, gained, lost)
    assert list(result.missing) == missing


def results(*outcomes: Outcome) -> list[AttackResult]:
    return [AttackResult(ITEM, outcome, (), (), ()) for outcome in outcomes]


def test_the_wilson_interval_is_of_the_items_that_could_be_told():
    one = rate(results(*[Outcome.SUCCESS] * 2, *[Outcome.HELD] * 7, Outcome.ERROR, *[Outcome.NOTHING_TO_GAIN] * 2))
    assert (one.items, one.tried, one.successes, one.errors, one.nothing_to_gain) == (12, 9, 2, 1, 2)
    assert one.rate == pytest.approx(2 / 9)
    # By hand: (p + z2/2n -+ z sqrt(p(1-p)/n + z2/4n2)) / (1 + z2/n) with z = 1.95996, z2 = 3.84146, n = 9.
    assert one.low == pytest.approx(0.0632, abs=5e-4)
    assert one.high == pytest.approx(0.5474, abs=5e-4)
    none = rate(results(Outcome.HELD, Outcome.HELD))
    assert none.low == 0
    assert 0.6 < (none.high or 0) < 0.7


def test_without_a_tried_item_there_is_no_rate():
    one = rate(results(Outcome.ERROR))
    assert (one.rate, one.low, one.high) == (None, None, None)
    report = Report({"model": "m"}, tuple(results(Outcome.ERROR)), 3, 2, {})
    assert json.loads(json.dumps(report.record()))["families"]["null_model"]["rate"] is None
    assert "without an attack: 2 of 3" in report.table()
