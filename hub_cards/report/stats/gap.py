"""The compositional gap: train skills against held-out ones, and its change by fine-tuning.

The two splits have different items, so their difference is one of independent shares (Newcombe 1998, Statistics in
Medicine 17:873, method 10). A difference of differences has the interval of Zou and Donner 2008 (Statistics in
Medicine 27:1693), which joins the two intervals as they are.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from grading.intervals import CONFIDENCE, Interval


@dataclass(frozen=True)
class Difference:
    """A difference of shares with its interval."""

    value: float
    interval: Interval


def independent(first: int, of_first: int, second: int, of_second: int) -> Difference:
    """The second share minus the first, of different items."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        second, of_second, first, of_first, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    return Difference(second / of_second - first / of_first, Interval(float(low), float(high)))


def change_of_gap(train: Difference, heldout: Difference) -> Difference:
    """How much more a student gained on train skills than on held-out ones; the two are of different items."""
    value = train.value - heldout.value
    return Difference(
        value,
        Interval(
            value - sqrt((train.value - train.interval.low) ** 2 + (heldout.interval.high - heldout.value) ** 2),
            value + sqrt((train.interval.high - train.value) ** 2 + (heldout.value - heldout.interval.low) ** 2),
        ),
    )
