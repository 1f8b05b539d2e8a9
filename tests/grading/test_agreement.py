"""Agreement and its intervals, against the same sums done another way."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.stats import binomtest
from sklearn.metrics import accuracy_score, cohen_kappa_score, precision_score, recall_score

from skillmix_tasks.calibration.agreement import Agreement, compare, mean, repeated, share

Pairs = list[tuple[bool, bool]]


def drawn(seed: int, answers: int, right: float) -> list[Pairs]:
    """Answers with 3 to 6 criteria, of which some answers' judgements are better than others'."""
    rng = np.random.default_rng(seed)
    found = []
    for share_right in rng.beta(5 * right, 5 * (1 - right), size=answers):
        truth = rng.random(rng.integers(3, 7)) < 0.65
        judged = np.where(rng.random(len(truth)) < share_right, truth, ~truth)
        found.append(list(zip(truth.tolist(), judged.tolist(), strict=True)))
    return found


def resampled(answers: list[Pairs], draws: int = 1500) -> dict[str, tuple[float, float]]:
    """Percentile intervals from answers drawn one by one."""
    rng = np.random.default_rng(99)
    values: dict[str, list[float]] = {"kappa": [], "precision": [], "recall": [], "surplus": []}
    for _ in range(draws):
        these = [pair for place in rng.integers(len(answers), size=len(answers)) for pair in answers[place]]
        table = np.array(these)
        truth, judged = table[:, 0], table[:, 1]
        both = (truth & judged).mean()
        chance = truth.mean() * judged.mean() + (1 - truth.mean()) * (1 - judged.mean())
        values["kappa"].append(((truth == judged).mean() - chance) / (1 - chance))
        values["precision"].append(both / judged.mean())
        values["recall"].append(both / truth.mean())
        values["surplus"].append(judged.mean() - truth.mean())
    return {name: tuple(np.quantile(of, (0.025, 0.975)).tolist()) for name, of in values.items()}


@pytest.mark.parametrize(("answers", "right"), [(60, 0.8), (150, 0.9)])
def test_figures_and_intervals_are_those_of_an_independent_computation(answers: int, right: float):
    sample = drawn(1, answers, right)
    found = compare(sample)
    truth, judged = zip(*(pair for pairs in sample for pair in pairs), strict=True)
    assert found.decisions == len(truth)
    assert found.agreement.value == pytest.approx(accuracy_score(truth, judged))
    assert found.kappa.value == pytest.approx(cohen_kappa_score(truth, judged))
    assert found.precision.value == pytest.approx(precision_score(truth, judged))
    assert found.recall.value == pytest.approx(recall_score(truth, judged))
    assert found.surplus.value == pytest.approx((sum(judged) - sum(truth)) / len(truth))
    for name, (low, high) in resampled(sample).items():
        one = getattr(found, name)
        assert (one.low, one.high) == pytest.approx((low, high), abs=0.03), name
    assert sum((found.both, found.judge_only, found.reference_only, found.neither)) == found.decisions


@pytest.mark.slow
def test_answers_are_the_units():
    """Ten times the same criteria for each answer are no more evidence than once."""
    single = drawn(3, 80, 0.8)
    copied = [pairs * 10 for pairs in single]
    for name in ("agreement", "kappa", "precision", "recall", "surplus"):
        one, ten = getattr(compare(single), name), getattr(compare(copied), name)
        assert (ten.low, ten.high) == pytest.approx((one.low, one.high), abs=0.005)


def test_an_agreement_of_independent_decisions_is_nearly_wilson_s():
    rng = np.random.default_rng(5)
    right = rng.random(200) < 0.85
    found = share(right, np.ones(200))
    wilson = binomtest(int(right.sum()), 200).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.004)


def test_answers_with_one_and_the_same_share_count_once_each():
    found = share([1] * 40, [2] * 40)
    wilson = binomtest(20, 40).proportion_ci(method="wilson")
    assert (found.low, found.high) == pytest.approx((wilson.low, wilson.high), abs=0.01)


YES, NO, OVER, UNDER = (True, True), (False, False), (False, True), (True, False)


def states(found: Agreement) -> dict[str, str]:
    names = ("agreement", "kappa", "precision", "recall", "surplus")
    return {name: getattr(found, name).state for name in names}


def test_what_has_no_value_or_no_interval_has_a_name():
    perfect = compare([[YES, NO]] * 60)
    assert states(perfect) == dict.fromkeys(("agreement", "kappa", "precision", "recall", "surplus"), "unvaried")
    assert (perfect.kappa.value, perfect.kappa.low, perfect.agreement.high) == (1, None, 1)
    assert perfect.agreement.low == pytest.approx(binomtest(60, 60).proportion_ci(method="wilson").low)
    assert (perfect.surplus.low, perfect.surplus.high) == pytest.approx((-0.06, 0.06), abs=0.001)
    granted = compare([[YES, YES]] * 60)
    assert granted.kappa.state == "one_class"
    assert granted.kappa.value is None
    assert granted.kappa.text() == "undefined (one class only)"
    assert compare([[NO]] * 60).precision.state == "nothing"
    assert set(states(compare([])).values()) == {"nothing"}
    assert set(states(compare([[YES, NO, OVER, UNDER]] * 4)).values()) <= {"few"}
    rare = compare([[YES, YES]] * 59 + [[YES, NO]])
    assert rare.kappa.value == 1
    one_off = compare([[YES, YES]] * 59 + [[NO, OVER]])
    assert one_off.kappa.state == "few"  # many draws hold one class only
    for one_sided in ([YES, OVER], [NO, UNDER], [YES, UNDER], [NO, OVER]):  # of the judge, or of the reference
        found = compare([one_sided] * 30 + [one_sided[:1]] * 30).kappa
        assert (found.value, found.text()) == (0, "0.00 (no interval: nothing varies)")


def test_the_text_of_an_estimate():
    assert share([1, 0, 1, 1, 0, 1], [1] * 6).text().startswith("0.67 (0.")
    assert share([1, 1], [1, 1]).state == "unvaried"
    assert share([1, 0], [1, 1]).text() == "0.50 (no interval: too few)"
    assert mean([0.5] * 10).text() == "0.50 (no interval: nothing varies)"
    assert mean([]).text() == "none"


def test_repeat_agreement_counts_pairs_of_votes():
    votes = [[[True, True, False], [True, True, True]], [[False, False, False]]]
    assert repeated(votes).value == pytest.approx((1 + 3 + 3) / 9)
    assert repeated([[[True]], [[False]]]).state == "nothing"  # one vote says nothing of repeats
    assert repeated([]).state == "nothing"
