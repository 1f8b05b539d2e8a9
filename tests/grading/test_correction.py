"""The corrected share: its value, its interval and its refusals."""

from __future__ import annotations

import pytest

from skillmix_tasks.calibration.correction import ErrorRates, correct


def rates(both: int, judge_only: int, reference_only: int, neither: int) -> ErrorRates:
    return ErrorRates(both=both, judge_only=judge_only, reference_only=reference_only, neither=neither)


def test_the_value_undoes_the_errors():
    # Of 100 true ones 90 are granted, of 100 others 20: a true share of .3 looks like .3 * .9 + .7 * .2 = .41.
    found = correct(410, 1000, rates(90, 20, 10, 80))
    assert found.value == pytest.approx(0.30)
    assert found.raw == 0.41
    assert found.low is not None
    assert found.high is not None
    assert found.low < 0.30 < found.high


def test_the_interval_is_that_of_the_paper_s_equations():
    # Equations 6, 7, 16 and 17 of Lang and Reiczigel, worked out apart for these counts.
    found = correct(410, 1000, rates(90, 20, 10, 80))
    assert (found.low, found.high) == pytest.approx((0.196086, 0.386801), abs=1e-6)


def test_the_calibration_s_own_uncertainty_is_in_the_interval():
    small, large = (correct(410, 1000, rates(9 * n, 2 * n, n, 8 * n)) for n in (5, 500))
    assert small.high is not None
    assert small.low is not None
    assert large.high is not None
    assert large.low is not None
    assert small.high - small.low > 2.5 * (large.high - large.low)


def test_the_share_stays_within_0_and_1():
    assert (correct(0, 100, rates(20, 5, 2, 40)).value, correct(0, 100, rates(20, 5, 2, 40)).low) == (0, 0)
    assert correct(100, 100, rates(20, 5, 2, 40)).high == 1


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (rates(9, 0, 0, 100), "9 granted items"),
        (rates(100, 9, 0, 0), "9 denied ones"),
        (rates(20, 20, 20, 20), "better than chance"),
        (rates(6, 14, 14, 6), "better than chance"),
    ],
)
def test_a_calibration_that_supports_no_correction_is_refused(table: ErrorRates, said: str):
    found = correct(30, 100, table)
    assert (found.raw, found.value, found.low, found.high) == (0.30, None, None, None)
    assert said in str(found.refused)
