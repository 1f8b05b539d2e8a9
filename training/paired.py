"""Two students, or one before and after training, on the same items: the difference, its interval, its chance.

Yes/no scores (full marks, all skills): McNemar's exact test, which is the binomial test of the items on which
the two differ, and the score interval for paired differences (Newcombe 1998, Statistics in Medicine 17:2635,
method 10). Skill fraction: a permutation test that swaps the two students within items, and a bootstrap over
items (BCa).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from math import sqrt

import numpy as np
from scipy.stats import DegenerateDataWarning, binomtest, bootstrap, permutation_test

from grading.intervals import CONFIDENCE, Interval, wilson

_RESAMPLES = 9999


@dataclass(frozen=True)
class Comparison:
    """The second score minus the first on `items` items.

    `better` and `worse` are the items on which the second student has more and less than the first; `p` is
    two-sided. `interval` is None where all items differ by the same amount, which says nothing about how they
    vary.
    """

    items: int
    first: float
    second: float
    better: int
    worse: int
    interval: Interval | None
    p: float

    @property
    def difference(self) -> float:
        """The second student's score minus the first's."""
        return self.second - self.first


def compare(first: Sequence[float], second: Sequence[float]) -> Comparison:
    """Compare scores of the same items, in the same order; there is one at least."""
    items, pairs = len(first), list(zip(first, second, strict=True))
    better, worse = sum(b > a for a, b in pairs), sum(b < a for a, b in pairs)
    if {*first, *second} <= {0.0, 1.0}:
        p = _mcnemar(better, worse)
        interval: Interval | None = paired_interval(pairs.count((1, 1)), better, worse, pairs.count((0, 0)))
    else:
        interval, p = _resampled(first, second)
    return Comparison(items, sum(first) / items, sum(second) / items, better, worse, interval, p)


def holm(ps: Sequence[float]) -> list[float]:
    """The p-values, adjusted for being so many (Holm 1979, Scandinavian Journal of Statistics 6:65)."""
    from statsmodels.stats.multitest import multipletests

    return [float(p) for p in multipletests(ps, method="holm")[1]] if ps else []


@cache
def _mcnemar(better: int, worse: int) -> float:
    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0


def paired_interval(both: int, won: int, lost: int, neither: int) -> Interval:
    """The interval of a paired difference of shares, (won - lost) / all; from the four counts of items."""
    items = both + won + lost + neither
    one, other = (wilson(both + sole, items) for sole in (lost, won))
    share_one, share_other = (both + lost) / items, (both + won) / items
    related: float = both * neither - won * lost
    if related > 0:
        related = max(related - items / 2, 0)
    margins = (both + lost) * (won + neither) * (both + won) * (lost + neither)
    phi = related / sqrt(margins) if margins else 0.0
    down, up = share_other - other.low, other.high - share_other
    down_one, up_one = share_one - one.low, one.high - share_one
    difference = share_other - share_one
    return Interval(
        difference - sqrt(down**2 - 2 * phi * down * up_one + up_one**2),
        difference + sqrt(up**2 - 2 * phi * up * down_one + down_one**2),
    )


def _resampled(first: Sequence[float], second: Sequence[float]) -> tuple[Interval | None, float]:
    if len(first) < 2:  # one item: its two orders are equally likely
        return None, 1.0
    one, other = np.asarray(first, dtype=float), np.asarray(second, dtype=float)

    def difference(x: np.ndarray, y: np.ndarray, axis: int = -1) -> np.ndarray:
        return np.asarray(np.mean(y - x, axis=axis))

    test = permutation_test(
        (one, other),
        difference,
        permutation_type="samples",
        n_resamples=_RESAMPLES,
        vectorized=True,
        rng=np.random.default_rng(0),
    )
    differences = other - one
    if np.ptp(differences) < 1e-12:
        return None, float(test.pvalue)
    with warnings.catch_warnings():
        warnings.simplefilter("error", DegenerateDataWarning)
        found = bootstrap(
            (differences,),
            np.mean,
            confidence_level=CONFIDENCE,
            n_resamples=_RESAMPLES,
            rng=np.random.default_rng(0),
        ).confidence_interval
    return Interval(float(found.low), float(found.high)), float(test.pvalue)
