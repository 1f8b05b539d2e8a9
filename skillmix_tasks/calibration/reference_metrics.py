"""The reference implementation's three metrics, from its own files, complete or not.

As its aggregate_metrics.py computes them: the majority of an answer's gradings for each point (a tie is not
earned, as rounding to even makes it there), the metrics of each answer, the maximum over the generations, the mean
over the items. Input that this script pads, cuts or crashes on is a named fault here.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean

from skillmix_tasks.calibration.rows import GradedRow, ItemKey
from skillmix_tasks.calibration.series import GradedSeries, majority, read_series
from skillmix_tasks.calibration.tree import Fault
from skillmix_tasks.scoring.metrics import METRICS, best_of


@dataclass(frozen=True)
class ReferenceMetrics:
    """One line of the reference's table, as means over `n` items; with `deducted` a named skill earns no point.

    `generations` and `gradings` are the numbers of rounds found. `copied_gradings` says that all gradings of each
    answer are one and the same reply.
    """

    student: str
    k: int
    seed: int
    deducted: bool
    full_marks: float
    all_skills: float
    skill_fraction: float
    n: int
    grader: str
    version: str
    generations: int
    gradings: int
    copied_gradings: bool


@dataclass(frozen=True)
class ReferenceReport:
    """The metrics of all series, and all faults of their files, sorted."""

    metrics: tuple[ReferenceMetrics, ...]
    faults: tuple[Fault, ...]


def reference_metrics(folder: Path) -> ReferenceReport:
    """The metrics of every student, k and seed under `folder`, plain and with names deducted.

    Raises UserError if there is no grading at all.
    """
    found, faults = read_series(folder)
    lines = []
    for one in found:
        items = one.complete()
        if items:
            lines += [_metrics(one, items, deducted=deducted) for deducted in (False, True)]
        else:
            what = "no item was graded in every generation; there is no score"
            faults.append(one.series.fault(what, "missing score"))
    return ReferenceReport(tuple(lines), tuple(sorted(set(faults))))


def _metrics(one: GradedSeries, items: Sequence[ItemKey], *, deducted: bool) -> ReferenceMetrics:
    best = [best_of(_points(of[key], deducted=deducted) for of in one.rows.values()) for key in items]
    means = {metric: fmean(scores[metric] for scores in best) for metric in METRICS}
    return ReferenceMetrics(
        student=one.series.student,
        k=one.series.k,
        seed=one.series.seed,
        deducted=deducted,
        **means,
        n=len(items),
        grader=one.series.grader,
        version=one.series.version,
        generations=len(one.rows),
        gradings=max(len(rows) for of in one.rows.values() for rows in of.values()),
        copied_gradings=one.copied(),
    )


def _points(rows: Sequence[GradedRow], *, deducted: bool) -> dict[str, bool]:
    points = majority(rows)
    if deducted:
        # The reference's own rule, not ours (skillmix_tasks.checks): the name before its bracket, anywhere.
        text = rows[0].answer.lower()
        for number, skill in enumerate(rows[0].key.skills, start=1):
            if skill.partition("(")[0].strip().lower() in text:
                points[f"s{number}"] = False
    return points
