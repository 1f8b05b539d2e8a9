"""How wide the 95 % interval of a corrected score is, by the number of items that a calibration has.

    python -m benchmarks.correction_width

A calibration of n items (three labelled answers each), of which the reference grants half; a judge that is right
about a granted item, and about a denied one, with the same probability; 100 new items of which the reference would
grant 30. All counts are the expected ones, so the figures are the same each time; benchmarks.interval_coverage
draws them.
"""

from __future__ import annotations

from skillmix_tasks.calibration.correction import ErrorRates, correct
from skillmix_tasks.scoring.metrics import GENERATIONS

ITEMS = (20, 40, 60, 100, 200, 400)
RIGHT = (0.80, 0.90, 0.95)
SCORED, TRUE_SCORE = 100, 0.30


def width(items: int, right: float) -> float | None:
    """The interval's width, from 0 to 1; None where the calibration supports no correction."""
    half = items // 2
    known = round(right * half)
    rates = ErrorRates(both=known, reference_only=half - known, judge_only=half - known, neither=known)
    raw = TRUE_SCORE * right + (1 - TRUE_SCORE) * (1 - right)
    found = correct(round(raw * SCORED), SCORED, rates)
    return None if found.low is None or found.high is None else found.high - found.low


def table() -> str:
    """The table of docs/judges.md."""
    head = "| items | labelled answers | " + " | ".join(f"right {right:.0%}" for right in RIGHT) + " |"
    rows = ["|---" * (2 + len(RIGHT)) + "|"]
    for items in ITEMS:
        widths = [width(items, right) for right in RIGHT]
        cells = ["refused" if one is None else f"{one:.2f}" for one in widths]
        rows.append(f"| {items} | {items * GENERATIONS} | {' | '.join(cells)} |")
    return "\n".join([head, *rows])


if __name__ == "__main__":
    print(table())  # noqa: T201
