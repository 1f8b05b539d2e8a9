"""Intervals of shares that come in items, each with generations and votes inside.

Items are drawn at random and are independent; the parts of one (its generations, its points) are not.
So an interval rests on the number of items. All are Wilson's, for the number of independent trials that would
vary as much as the items did: near 0 and 1, and with few items, they stay within 0 to 1 and have width. Sources:
Wilson 1927 (JASA 22:209); Korn and Graubard 1998 (Survey Methodology 24:193) for the effective number and its t
correction.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum

from grading.intervals import Interval, few_units, wilson


@dataclass(frozen=True)
class Share:
    """A share with its interval; `of` is what was counted and `items` are the items that it lies in."""

    value: float
    interval: Interval
    of: int
    items: int


def mean_interval(mean: float, error: float, items: int) -> Interval:
    """Of the mean of `items` scores from 0 to 1 with the standard error `error` of that mean.

    If all scores are equal their variation is unknown, and the interval is that of as many yes/no scores.
    """
    variance = mean * (1 - mean)
    effective = float(items)
    if error > 0 and variance > 0:
        effective = variance / error**2 * few_units(items)
    return wilson(mean * effective, effective)


def scores_interval(scores: Sequence[float]) -> Interval:
    """Of the mean of scores from 0 to 1, one for each item; of yes/no scores it is Wilson's own."""
    items, total = len(scores), fsum(scores)
    if set(scores) <= {0.0, 1.0}:
        return wilson(total, items)
    mean = total / items
    error = (fsum((score - mean) ** 2 for score in scores) / (items - 1) / items) ** 0.5 if items > 1 else 0.0
    return mean_interval(mean, error, items)


def clustered(earned: Sequence[int], decided: Sequence[int]) -> Share:
    """The share of points that are earned, from the numbers earned and decided in each item; one is decided at
    least.

    Its variance is that of a ratio over items, as in cluster sampling (Cochran 1977, section 11.8). Points of an
    item depend on each other, so they never count for more than as many independent ones.
    """
    items, total = len(decided), sum(decided)
    share = sum(earned) / total
    effective = float(items)
    if items > 1:
        residuals = fsum((one - share * of) ** 2 for one, of in zip(earned, decided, strict=True))
        variance = items / (items - 1) * residuals / total**2
        if variance > 0 and 0 < share < 1:
            effective = min(share * (1 - share) / variance, float(total)) * few_units(items)
    return Share(share, wilson(share * effective, effective), total, items)
