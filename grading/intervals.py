"""The uncertainty of a share."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from math import sqrt
from statistics import NormalDist

CONFIDENCE = 0.95
Z = NormalDist().inv_cdf((1 + CONFIDENCE) / 2)


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, at CONFIDENCE."""

    low: float
    high: float


def wilson(successes: float, trials: float) -> Interval:
    """The Wilson interval of a share at CONFIDENCE; an effective number of trials need not be an integer."""
    # Wilson 1927 as written: statsmodels finds the quantile anew each time, half of the time of a large report.
    share, square = successes / trials, Z * Z
    middle = share + square / (2 * trials)
    spread = Z * sqrt(share * (1 - share) / trials + square / (4 * trials * trials))
    scale = 1 + square / trials
    # Where the formula gives 0 or 1, rounding may miss them by a hair.
    low = max(0.0, (middle - spread) / scale) if share > 0 else 0.0
    return Interval(low, min(1.0, (middle + spread) / scale) if share < 1 else 1.0)


@cache
def few_units(units: int) -> float:
    """The factor on an effective number of trials whose variance is known from few units.

    The degrees of freedom's part of Korn and Graubard 1998 (Survey Methodology 24:193).
    """
    from scipy.stats import t

    return float((Z / t.ppf((1 + CONFIDENCE) / 2, units - 1)) ** 2) if units > 1 else 1.0
