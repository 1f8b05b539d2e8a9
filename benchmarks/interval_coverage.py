"""Whether the calibration's 95 % intervals hold the truth 95 % of the time, by simulation.

    python -m benchmarks.interval_coverage [REPEATS]

Each repeat draws a calibration of n answers, computes the intervals of the agreement and of the corrected score as
`skillmix calibrate` and `skillmix correct` do, and looks whether they hold the values that the draw was made with.

Agreement: an answer has 3 to 7 criteria; what the judge gets right of them hangs together within the answer, by a
beta-binomial distribution whose correlation is 0.2. Corrected score: the calibration has n units, of which the
reference grants 45 %; the judge is right about each with the agreement's probability. Then it judges 100 new
units, of which the reference would grant 30 %. Repeats whose calibration is refused are counted apart.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from skillmix_tasks.calibration.agreement import share
from skillmix_tasks.calibration.correction import ErrorRates, correct

REPEATS = 1000
SIZES = (60, 180)
AGREEMENTS = (0.70, 0.85, 0.95)
CRITERIA = (3, 7)
CORRELATION = 0.2
GRANTED = 0.45  # in the calibration
SCORED, TRUE_SCORE = 100, 0.30


@dataclass(frozen=True)
class Coverage:
    """Shares of repeats: intervals that hold the truth, of those that were given; and corrections refused."""

    n: int
    agreement: float
    agreement_covered: float
    score_covered: float
    refused: float
    score_width: float


def simulate(n: int, agreement: float, repeats: int, seed: int = 0) -> Coverage:
    """The coverage for calibrations of `n` answers, or units, with a judge that is right so often."""
    rng = np.random.default_rng([seed, n, round(100 * agreement)])
    held, scored, refused, widths = 0, 0, 0, 0.0
    for _ in range(repeats):
        found = share(*_right(rng, n, agreement))
        assert found.low is not None
        assert found.high is not None
        held += found.low <= agreement <= found.high
        granted = int(rng.binomial(n, GRANTED))
        both, neither = int(rng.binomial(granted, agreement)), int(rng.binomial(n - granted, agreement))
        rates = ErrorRates(
            both=both, reference_only=granted - both, judge_only=n - granted - neither, neither=neither
        )
        raw = TRUE_SCORE * agreement + (1 - TRUE_SCORE) * (1 - agreement)
        corrected = correct(int(rng.binomial(SCORED, raw)), SCORED, rates)
        if corrected.low is None or corrected.high is None:
            refused += 1
            continue
        scored += corrected.low <= TRUE_SCORE <= corrected.high
        widths += corrected.high - corrected.low
    given = repeats - refused
    return Coverage(n, agreement, held / repeats, scored / given, refused / repeats, widths / given)


def _right(rng: np.random.Generator, n: int, agreement: float) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """How many criteria of each of `n` answers the judge gets right, and how many there are."""
    spread = 1 / CORRELATION - 1
    criteria = rng.integers(CRITERIA[0], CRITERIA[1], size=n, endpoint=True)
    return rng.binomial(criteria, rng.beta(agreement * spread, (1 - agreement) * spread, size=n)), criteria


def main() -> None:
    """Print the table."""
    repeats = int(sys.argv[1]) if len(sys.argv) > 1 else REPEATS
    print(f"{repeats} repeats; nominal 0.95")  # noqa: T201
    print("  n  true agreement  agreement covered  score covered  its width  refused")  # noqa: T201
    for n in SIZES:
        for agreement in AGREEMENTS:
            one = simulate(n, agreement, repeats)
            print(  # noqa: T201
                f"{n:>3}  {agreement:>14.2f}  {one.agreement_covered:>17.3f}  {one.score_covered:>13.3f}  "
                f"{one.score_width:>9.2f}  {one.refused:>7.3f}"
            )


if __name__ == "__main__":
    main()
