"""The uncertainty of a share."""

from __future__ import annotations

CONFIDENCE = 0.95


def wilson(successes: int, tried: int) -> tuple[float, float]:
    """The Wilson interval of a share at CONFIDENCE; `tried` is at least 1."""
    from scipy.stats import binomtest  # takes most of a second to import

    interval = binomtest(successes, tried).proportion_ci(CONFIDENCE, method="wilson")
    return float(interval.low), float(interval.high)
