"""Scores of several trainings of one kind, and two kinds compared on the same items.

With one training on each side this is McNemar's exact test (training.paired). With several, an item has several
yes/no scores on each side. Their exact test is the conditional one of Cochran, Mantel and Haenszel with the items
as strata (Mehta, Patel and Gray 1985, Journal of the American Statistical Association 80:969): for each item, all
ways to share its full marks between the trainings are equally likely. It becomes McNemar's with one on each side.

That test does not see how much trainings of one kind differ. So with several trainings there is a t-test, too. Its
variance is that of the items plus that of the trainings (two-way clustering: Cameron, Gelbach and Miller 2011,
Journal of Business and Economic Statistics 29:238; the part subtracted there is kept, which is the safe side). Its
degrees of freedom are those of Satterthwaite 1946 (Biometrics Bulletin 2:110). The larger p counts.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.polynomial.polynomial import polypow
from scipy.stats import hypergeom, t

from grading.intervals import CONFIDENCE, Interval
from training.intervals import mean_interval, scores_interval
from training.paired import compare

Scores = Sequence[Sequence[float]]  # for each training the scores of the same items, in one order


@dataclass(frozen=True)
class Mean:
    """The mean over trainings and items; `error` is None with a single item."""

    value: float
    error: float | None
    interval: Interval


@dataclass(frozen=True)
class Effect:
    """The mean of the second kind minus that of the first, on `items` items; `p` is two-sided.

    `discordant` is the share of items on which a training of the one kind differs from one of the other.
    `by_trainings` if most of the variance is that between trainings: then more items would not help.
    """

    items: int
    first: float
    second: float
    interval: Interval | None
    p: float
    discordant: float
    by_trainings: bool = False

    @property
    def difference(self) -> float:
        """The second kind's mean minus the first's."""
        return self.second - self.first


def mean_of(scores: Scores) -> Mean:
    """The mean of one kind's trainings; there is one item at least."""
    known = np.asarray(scores, dtype=float)
    trainings, items = known.shape
    value = float(known.mean())
    if trainings == 1:
        error = sqrt(known[0].var(ddof=1) / items) if items > 1 else None
        return Mean(value, error, scores_interval(list(known[0])))
    if items == 1:
        return Mean(value, None, scores_interval([value]))
    variance, freedom = _joined([_part(known.mean(axis=0)), _part(known.mean(axis=1))])
    error = sqrt(variance)
    # Where all scores are equal their variation is unknown.
    return Mean(value, error, mean_interval(value, error, max(2, int(freedom) + 1) if error else items))


def compare_kinds(first: Scores, second: Scores) -> Effect:
    """Compare yes/no scores of two kinds on the same items, in the same order; there is one item at least."""
    if len(first) == len(second) == 1:
        one = compare(first[0], second[0])
        differing = (one.better + one.worse) / one.items
        return Effect(one.items, one.first, one.second, one.interval, one.p, differing)
    a, b = (np.asarray(side, dtype=float) for side in (first, second))
    items = a.shape[1]
    differences = b.mean(axis=0) - a.mean(axis=0)
    between = [_part(side.mean(axis=1)) for side in (a, b) if len(side) > 1]
    variance, freedom = _joined([_part(differences), *between])
    interval, p = _t_test(float(differences.mean()), variance, freedom)
    return Effect(
        items,
        float(a.mean()),
        float(b.mean()),
        interval,
        max(p, _exact(a, b)),
        float(np.mean(a[:, None, :] != b[None, :, :])),
        sum(part for part, _ in between) > variance / 2,
    )


def _part(values: np.ndarray) -> tuple[float, float]:
    """The variance of the mean of `values`, with its degrees of freedom; (0, 1) for a single one."""
    number = len(values)
    return (float(values.var(ddof=1)) / number, number - 1.0) if number > 1 else (0.0, 1.0)


def _joined(parts: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """The sum of variances, with Satterthwaite's degrees of freedom."""
    variance = sum(part for part, _ in parts)
    if not variance:
        return 0.0, 1.0
    return variance, variance**2 / sum(part**2 / freedom for part, freedom in parts)


def _t_test(difference: float, variance: float, freedom: float) -> tuple[Interval | None, float]:
    if not variance:
        return None, 1.0  # all items and trainings differ alike, which says nothing of how they vary
    error = sqrt(variance)
    margin = float(t.ppf((1 + CONFIDENCE) / 2, freedom)) * error
    p = float(2 * t.sf(abs(difference) / error, freedom))
    return Interval(max(-1.0, difference - margin), min(1.0, difference + margin)), p


def _exact(first: np.ndarray, second: np.ndarray) -> float:
    """The two-sided p of the conditional test, twice the smaller tail."""
    trainings, mine = len(first) + len(second), len(first)
    chances: np.ndarray = np.ones(1)  # of how many full marks the first kind has, over all items
    for marks, number in Counter((first.sum(axis=0) + second.sum(axis=0)).astype(int).tolist()).items():
        one = hypergeom.pmf(np.arange(mine + 1), trainings, marks, mine)
        chances = np.convolve(chances, polypow(one, number))
    have = int(first.sum())
    return min(1.0, 2 * min(float(chances[: have + 1].sum()), float(chances[have:].sum())))
