"""All paired comparisons of a report: students of one group on the items that both were judged on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from typing import NamedTuple

from hub_cards.report.study.board import Measured, Row
from skillmix_tasks.scoring.metrics import METRICS, Scores
from training.paired import Comparison, compare, holm

MOST = 3_000  # comparisons of a metric; beyond that every student is compared with the first of its group alone
MOST_RESAMPLED = 100  # of skill fractions, which take a tenth of a second each


@dataclass(frozen=True)
class Pair:
    """Two rows on one task; `adjusted` is p after Holm for all comparisons of the metric in the group."""

    first: str
    second: str
    metric: str
    split: str
    k: int
    result: Comparison
    adjusted: float


def compare_all(rows: Sequence[Row], entries: Sequence[Measured]) -> tuple[list[Pair], list[str]]:
    """The comparisons, and sentences on those that were not made."""
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in rows:
        groups[row.group].append(row)
    pairs: list[Pair] = []
    notes = []
    for members in groups.values():
        wanted = list(combinations(members, 2))
        tasks = sum(len(_common(one, other, entries)) for one, other in wanted)
        if tasks > MOST:
            first = max(members, key=lambda row: row.level)
            wanted = [(first, other) for other in members if other is not first]
            notes.append(
                f"{len(members)} students judged by {first.judge} are too many to compare each with each: each is "
                f"compared with {first.student}."
            )
            tasks = sum(len(_common(one, other, entries)) for one, other in wanted)
        for metric in METRICS:
            if metric == "skill_fraction" and tasks > MOST_RESAMPLED:
                notes.append(f"Skill fractions are not compared: {tasks} permutation tests would take too long.")
                continue
            pairs += _family(wanted, entries, metric)
    return pairs, notes


def _family(wanted: Sequence[tuple[Row, Row]], entries: Sequence[Measured], metric: str) -> Iterator[Pair]:
    found: list[tuple[Row, Row, str, int, Comparison]] = []
    for one, other in wanted:
        for split, k, first, second in _common(one, other, entries):
            result = compare(*([getattr(one, metric) for one in side] for side in (first, second)))
            found.append((one, other, split, k, result))
    adjusted = holm([result.p for *_, result in found])
    for (one, other, split, k, result), p in zip(found, adjusted, strict=True):
        yield Pair(one.id, other.id, metric, split, k, result, p)


class _Shared(NamedTuple):
    """A task that two rows have samples of; their scores on the items with a verdict of both, in one order."""

    split: str
    k: int
    first: list[Scores]
    second: list[Scores]


def _common(one: Row, other: Row, entries: Sequence[Measured]) -> list[_Shared]:
    tasks: list[_Shared] = []
    theirs = {entries[number].run.task: entries[number] for number in other.runs}
    for number in one.runs:  # by split and k
        mine, their = entries[number], theirs.get(entries[number].run.task)
        if mine.tally is None or their is None or their.tally is None:
            continue
        both = [
            (scores, their.tally.scores[item])
            for item, scores in mine.tally.scores.items()
            if scores is not None and their.tally.scores.get(item) is not None
        ]
        if both:
            first, second = [a for a, _ in both], [b for _, b in both if b is not None]
            tasks.append(_Shared(mine.run.record.split, mine.run.record.k, first, second))
    return tasks
