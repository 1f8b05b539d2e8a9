"""From points to the metrics, for a generation and for an item, with bounds for missing verdicts.

A point is True, False, or None where there is no verdict. Definitions: Yu et al. 2023, arXiv 2310.17567,
section 3 (per generation) and the maximum over generations (per item).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import NamedTuple

from grading import UserError
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

Points = Mapping[str, bool | None]
GENERATIONS = 3  # of each item


class Scores(NamedTuple):
    """The metrics of one item or generation, each from 0 to 1."""

    full_marks: float
    all_skills: float
    skill_fraction: float


METRICS = Scores._fields
METRIC_NAMES = {metric: metric.replace("_", " ") for metric in METRICS}  # as tables show them
METRIC_MEANINGS = {
    "full_marks": "every point is earned",
    "all_skills": "all skills and at least two of topic, sense and length are earned",
    "skill_fraction": "the share of the skills that are earned, if topic, sense and length all are",
}
_REST = (TOPIC, SENSE, LENGTH)


def generation_metrics(points: Mapping[str, bool]) -> dict[str, float]:
    """The metrics of one generation, each from 0 to 1, from points that are all decided.

    full_marks: every point. all_skills: every skill and at least two of the other three.
    skill_fraction: the share of the skills if the other three are all earned, else 0.
    """
    skills = [earned for point, earned in points.items() if point not in _REST]
    rest = [points[point] for point in _REST]
    return {
        "full_marks": float(all(skills) and all(rest)),
        "all_skills": float(all(skills) and sum(rest) >= 2),
        "skill_fraction": sum(skills) / len(skills) if all(rest) else 0.0,
    }


def item_metrics(generations: Sequence[Points]) -> dict[str, float]:
    """The metrics of one item: the maximum over its generations.

    An item with a point undecided in any generation has no score (NaN) and coverage 0; its full marks then lie
    between `full_marks_low`, with every undecided point lost, and `full_marks_high`, with every one earned.
    Every lost point lowers each metric or leaves it, so these are the exact bounds. Raises UserError without a
    generation.
    """
    if not generations:
        raise UserError("An item without generations has no metrics: give the points of at least one.")
    if wrong := next((one for one in generations if not isinstance(one, Mapping)), None):
        raise UserError(
            f"Metrics are those of points, not of {type(wrong).__name__}: type "
            "item_metrics([score.points for score in scores])."
        )
    covered = all(earned is not None for points in generations for earned in points.values())
    low, high = (
        best_of(
            {point: bound if earned is None else earned for point, earned in points.items()}
            for points in generations
        )
        for bound in (False, True)
    )
    scores = low if covered else dict.fromkeys(METRICS, math.nan)
    # Coverage is first: how the others are aggregated depends on it (skillmix_tasks.harness.task).
    return {
        "coverage": float(covered),
        **scores,
        "full_marks_low": low["full_marks"],
        "full_marks_high": high["full_marks"],
    }


def best_of(generations: Iterable[Mapping[str, bool]]) -> dict[str, float]:
    """The maximum of each metric over generations whose points are all decided."""
    found = [generation_metrics(points) for points in generations]
    return {metric: max(scores[metric] for scores in found) for metric in METRICS}
