"""The share that a reference judge would have granted, from the share that another judge granted.

The judge's error rates come from a calibration: units that both have decided. The estimate is that of Rogan and
Gladen (1978, Am. J. Epidemiol. 107:71); the interval is that of Lang and Reiczigel (2014, Prev. Vet. Med. 113:13),
which holds the uncertainty of both error rates beside that of the share. Lee et al. (2025, arXiv 2511.21140)
recommend the two for judges that are language models.

It assumes that the judge errs on the new units as often as on those of the calibration.
"""

from __future__ import annotations

from math import sqrt

from pydantic import BaseModel, Field

from grading.commands.words import many
from grading.intervals import Z

LEAST = 10  # units of each class that a calibration must have


class ErrorRates(BaseModel, extra="forbid", frozen=True):
    """Units of a calibration by who granted them."""

    both: int = Field(ge=0)
    judge_only: int = Field(ge=0)
    reference_only: int = Field(ge=0)
    neither: int = Field(ge=0)

    @property
    def granted(self) -> int:
        """Units that the reference granted."""
        return self.both + self.reference_only

    @property
    def denied(self) -> int:
        """Units that the reference denied."""
        return self.judge_only + self.neither

    def refusal(self) -> str | None:
        """Why these units support no correction; None if they do."""
        if min(self.granted, self.denied) < LEAST:
            return (
                f"the calibration could use {self.granted} granted items and {self.denied} denied ones, and needs "
                f"{LEAST} of each (100 items, half of them granted, are enough)"
            )
        from statsmodels.stats.proportion import confint_proportions_2indep

        # By how much the judge grants more of what the reference grants than of what it denies.
        low, _ = confint_proportions_2indep(
            self.both, self.granted, self.judge_only, self.denied, method="newcomb", compare="diff"
        )
        if low <= 0:
            return "the calibration does not show that the judge separates the two classes better than chance"
        return None


class Corrected(BaseModel, extra="forbid", frozen=True):
    """A share corrected for a judge's errors, from 0 to 1, with its 95 % interval; or why there is none."""

    raw: float
    units: int
    value: float | None = None
    low: float | None = None
    high: float | None = None
    refused: str | None = None

    def text(self) -> str:
        """The figures in words."""
        raw = f"raw {self.raw:.2f} on {many(self.units, 'item')}"
        if self.value is None:
            return f"{raw}; no correction"
        return f"{raw}; corrected {self.value:.2f} ({self.low:.2f} to {self.high:.2f})"


def correct(granted: int, units: int, rates: ErrorRates) -> Corrected:
    """The share of `units` that the reference would have granted, where the judge granted `granted` of them."""
    raw = granted / units
    if reason := rates.refusal():
        return Corrected(raw=raw, units=units, refused=reason)
    sensitivity, specificity = rates.both / rates.granted, rates.neither / rates.denied
    value = (raw + specificity - 1) / (sensitivity + specificity - 1)
    low, high = _interval(granted, units, rates)
    return Corrected(raw=raw, units=units, value=min(max(value, 0.0), 1.0), low=low, high=high)


def _interval(granted: int, units: int, rates: ErrorRates) -> tuple[float, float]:
    # Each share with the pseudo-counts that Lang and Reiczigel give it.
    n, n_granted, n_denied = units + Z * Z, rates.granted + 2, rates.denied + 2
    p, sensitivity, specificity = (
        (granted + Z * Z / 2) / n,
        (rates.both + 1) / n_granted,
        (rates.neither + 1) / n_denied,
    )
    gain = sensitivity + specificity - 1
    value = (p + specificity - 1) / gain
    of_granted = sensitivity * (1 - sensitivity) / n_granted
    of_denied = specificity * (1 - specificity) / n_denied
    shift = 2 * Z * Z * (value * of_granted - (1 - value) * of_denied)
    error = sqrt(p * (1 - p) / n + value * value * of_granted + (1 - value) ** 2 * of_denied) / gain
    return min(max(value + shift - Z * error, 0.0), 1.0), min(max(value + shift + Z * error, 0.0), 1.0)
