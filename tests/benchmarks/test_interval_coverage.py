"""A short run of the simulation: enough to see an interval that is far too short."""

from __future__ import annotations

from benchmarks.interval_coverage import simulate


def test_intervals_hold_the_truth_most_of_the_time():
    one = simulate(60, 0.85, repeats=150, seed=3)
    assert one.agreement_covered >= 0.90
    assert one.score_covered >= 0.90
    assert one.score_width < 0.5  # and not because they hold everything
    assert one.refused < 0.05
