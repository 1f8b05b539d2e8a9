"""How far a judge agrees with a reference on the same answers, with the uncertainty of so few answers.

The criteria of one answer depend on each other, so answers are the units: scipy's bootstrap draws complete
answers. Kappa and differences take its bias-corrected and accelerated interval (Efron 1987, J. Am. Stat. Assoc.
82:171). A share takes its standard error, and from that the Wilson interval of as many independent decisions as
have the same (Dean and Pagano 2015, J. Surv. Stat. Methodol. 3:484; fewer for the degrees of freedom: Korn and
Graubard 1998, Surv. Methodol. 24:193): near 1, where judges are, the bootstrap's own intervals are too short.
Where every answer says the same no draw differs from another, and an interval of no width would claim too much;
there a share gets the Wilson interval of a share of answers.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Literal

import numpy as np
from numpy.typing import ArrayLike, NDArray
from pydantic import BaseModel

from grading.intervals import CONFIDENCE, few_units, wilson

DRAWS = 2000
LEAST = 5  # answers below which no interval is given
_SEED = 0
_BATCH = 2_000_000  # numbers drawn at once

Pairs = Sequence[tuple[bool, bool]]  # the decisions of the reference and the judge on each criterion of one answer
_Counts = NDArray[np.float64]


class Estimate(BaseModel, extra="forbid", frozen=True):
    """A figure with its 95 % interval, or the reason why there is none.

    estimated      value and interval
    unvaried       every answer says the same, or one side grants all or nothing: no draw has another value;
                   a share's interval is Wilson's over the answers, others have none
    few            too few answers, or too few of one kind, for an interval
    one_class      no value: both granted all, or both denied all, so that chance explains everything
    nothing        no value: there was nothing to compare
    """

    value: float | None = None
    low: float | None = None
    high: float | None = None
    state: Literal["estimated", "unvaried", "few", "one_class", "nothing"]

    def text(self, places: int = 2) -> str:
        """The figures in words: "0.83 (0.75 to 0.90)"."""
        if self.value is None:
            return {"one_class": "undefined (one class only)", "nothing": "none"}[self.state]
        value = f"{self.value:.{places}f}"
        if self.low is None or self.high is None:
            return f"{value} (no interval: {'nothing varies' if self.state == 'unvaried' else 'too few'})"
        return f"{value} ({self.low:.{places}f} to {self.high:.{places}f})"


class Agreement(BaseModel, extra="forbid", frozen=True):
    """A judge against a reference on the same decisions.

    The counts are decisions by who granted them. `precision` is the share of the judge's grants that the reference
    grants too, `recall` the share of the reference's grants that the judge grants, `surplus` the share that the
    judge grants less the share that the reference grants: below 0 the judge is stricter.
    """

    answers: int
    decisions: int
    both: int
    judge_only: int
    reference_only: int
    neither: int
    agreement: Estimate
    kappa: Estimate
    precision: Estimate
    recall: Estimate
    surplus: Estimate


def compare(answers: Sequence[Pairs]) -> Agreement:
    """Compare a judge with a reference; each answer brings the criteria that both have decided."""
    counts = np.array([_count(pairs) for pairs in answers if pairs], dtype=float).reshape(-1, 4)
    both, judge_only, reference_only, neither = counts.T
    total = counts.sum(axis=1)
    return Agreement(
        answers=len(counts),
        decisions=int(total.sum()),
        both=int(both.sum()),
        judge_only=int(judge_only.sum()),
        reference_only=int(reference_only.sum()),
        neither=int(neither.sum()),
        agreement=share(both + neither, total),
        kappa=_kappa(counts),
        precision=share(both, both + judge_only),
        recall=share(both, both + reference_only),
        surplus=_surplus(judge_only, reference_only, total),
    )


def share(parts: ArrayLike, totals: ArrayLike) -> Estimate:
    """The sum of `parts` over that of `totals`, both by answer; answers without a total do not count."""
    part, total = np.asarray(parts, dtype=float), np.asarray(totals, dtype=float)
    part, total = part[total > 0], total[total > 0]
    if not len(total):
        return Estimate(state="nothing")
    value = float(part.sum() / total.sum())
    if value in (0.0, 1.0):
        certain = wilson(len(total) if value else 0, len(total))
        return Estimate(value=value, low=certain.low, high=certain.high, state="unvaried")
    if len(total) < LEAST:
        return Estimate(value=value, state="few")
    units = len(total)
    error = float(_bootstrap((part, total), _ratio, method="percentile").standard_error)
    # Where all answers have the same share, each counts once; and no decision counts for more than one.
    size = value * (1 - value) / error**2 * (units - 1) / units if error > 1e-12 else float(units)
    size = min(size, float(total.sum())) * few_units(units)
    found = wilson(value * size, size)
    return Estimate(value=value, low=found.low, high=found.high, state="estimated")


def mean(values: ArrayLike) -> Estimate:
    """The mean of one number for each unit."""
    numbers = np.asarray(values, dtype=float)
    if not len(numbers):
        return Estimate(state="nothing")
    value = float(numbers.mean())
    if np.ptp(numbers) == 0:
        return Estimate(value=value, state="unvaried")
    return _drawn(value, (numbers,), np.mean)


def repeated(votes: Sequence[Sequence[Sequence[bool]]]) -> Estimate:
    """How often two votes of a judge on one criterion are equal; `votes` by answer and criterion."""
    equal, pairs = [], []
    for answer in votes:
        sides = [(sum(marks), len(marks) - sum(marks)) for marks in answer]
        equal.append(sum(yes * (yes - 1) + no * (no - 1) for yes, no in sides) / 2)
        pairs.append(sum((yes + no) * (yes + no - 1) for yes, no in sides) / 2)
    return share(equal, pairs)


def _count(pairs: Pairs) -> tuple[int, int, int, int]:
    kinds = Counter((judge, reference) for reference, judge in pairs)
    return kinds[True, True], kinds[True, False], kinds[False, True], kinds[False, False]


def _kappa(counts: _Counts) -> Estimate:
    if not counts.sum():
        return Estimate(state="nothing")
    value = _cohen(*counts.T)
    if np.isnan(value):
        return Estimate(state="one_class")
    both, judge_only, reference_only, neither = counts.sum(axis=0)
    # Of a judge or a reference that grants all, or nothing, each draw has a kappa of 0.
    granted = (both + judge_only, both + reference_only)
    denied = (reference_only + neither, judge_only + neither)
    if not judge_only + reference_only or not all((*granted, *denied)):
        return Estimate(value=value, state="unvaried")
    return _drawn(value, tuple(counts.T), _cohen, vectorized=False)


def _cohen(both: _Counts, judge_only: _Counts, reference_only: _Counts, neither: _Counts) -> float:
    from statsmodels.stats.inter_rater import cohens_kappa

    table = [[both.sum(), reference_only.sum()], [judge_only.sum(), neither.sum()]]
    with np.errstate(invalid="ignore"):  # of one class: no kappa
        return float(cohens_kappa(table, return_results=False))


def _surplus(judge_only: _Counts, reference_only: _Counts, total: _Counts) -> Estimate:
    if not total.sum():
        return Estimate(state="nothing")
    differing = judge_only + reference_only
    value = float((judge_only - reference_only).sum() / total.sum())
    if not differing.any():
        # It cannot be larger than the share of answers on which the two differ at all.
        most = wilson(0, len(total)).high
        return Estimate(value=value, low=-most, high=most, state="unvaried")
    return _drawn(value, (judge_only - reference_only, total), _ratio)


def _ratio(part: _Counts, total: _Counts, axis: int = -1) -> Any:
    return part.sum(axis=axis) / total.sum(axis=axis)


def _drawn(value: float, data: tuple[_Counts, ...], statistic: Any, *, vectorized: bool = True) -> Estimate:
    """The estimate with a bootstrap interval; `few` where a draw gives no value."""
    if len(data[0]) < LEAST:
        return Estimate(value=value, state="few")
    drawn = _bootstrap(data, statistic, method="BCa", vectorized=vectorized).confidence_interval
    if np.isnan(drawn.low) or np.isnan(drawn.high):
        return Estimate(value=value, state="few")
    return Estimate(value=value, low=float(drawn.low), high=float(drawn.high), state="estimated")


def _bootstrap(data: tuple[_Counts, ...], statistic: Any, *, method: str, vectorized: bool = True) -> Any:
    import warnings

    from scipy.stats import DegenerateDataWarning, bootstrap

    # Where draws give no value, or no spread, the interval is NaN.
    with warnings.catch_warnings(), np.errstate(invalid="ignore", divide="ignore"):
        warnings.simplefilter("ignore", DegenerateDataWarning)
        return bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=vectorized,
            n_resamples=DRAWS,
            batch=max(1, _BATCH // len(data[0])),
            confidence_level=CONFIDENCE,
            method=method,
            rng=np.random.default_rng(_SEED),
        )
