"""The uncertainty of a share."""

from __future__ import annotations

from dataclasses import dataclass

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Interval:
    """From `low` to `high`, at CONFIDENCE."""

    low: float
    high: float


def wilson(successes: int, tried: int) -> tuple[float, float]:
    """The Wilson interval of a share at CONFIDENCE; `tried` is at least 1."""
    from scipy.stats import binomtest  # takes most of a second to import

    interval = binomtest(successes, tried).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)


def effective_wilson(successes: float, trials: float) -> tuple[float, float]:
    """The Wilson interval at CONFIDENCE for an effective number of trials, which need not be whole."""
    from statsmodels.stats.proportion import proportion_confint

    low, high = proportion_confint(successes, trials, alpha=1 - CONFIDENCE, method="wilson")
    return float(low), float(high)


def few_units(units: int) -> float:
    """What an effective number of trials is multiplied by because a variance is known from so few units.

    The degrees of freedom's part of Korn and Graubard 1998 (Survey Methodology 24:193).
    """
    from scipy.stats import norm, t

    tail = (1 + CONFIDENCE) / 2
    return float((norm.ppf(tail) / t.ppf(tail, units - 1)) ** 2) if units > 1 else 1.0
