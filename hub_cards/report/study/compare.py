"""All paired comparisons of a report: students of one group on the items that both were judged on."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
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
        shared = list(_shared(combinations(members, 2), entries))
        if len(shared) > MOST:
            first = max(members, key=lambda row: row.level)
            shared = list(_shared(((first, other) for other in members if other is not first), entries))
            notes.append(
                f"{len(members)} students judged by {first.judge} are too many to compare each with each: each is "
                f"compared with {first.student}."
            )
        for metric in METRICS:
            if metric == "skill_fraction" and len(shared) > MOST_RESAMPLED:
                notes.append(
                    f"Skill fractions are not compared: {len(shared):,} permutation tests would take too long."
                )
                continue
            pairs += _family(shared, metric)
    return pairs, notes


class _Shared(NamedTuple):
    """A task that two rows have samples of; their scores on the items with a verdict of both, in one order."""

    one: Row
    other: Row
    split: str
    k: int
    first: list[Scores]
    second: list[Scores]


def _family(shared: Sequence[_Shared], metric: str) -> Iterator[Pair]:
    results = [
        compare(*([getattr(scores, metric) for scores in side] for side in (task.first, task.second)))
        for task in shared
    ]
    for task, result, p in zip(shared, results, holm([result.p for result in results]), strict=True):
        yield Pair(task.one.id, task.other.id, metric, task.split, task.k, result, p)


def _shared(pairs: Iterable[tuple[Row, Row]], entries: Sequence[Measured]) -> Iterator[_Shared]:
    for one, other in pairs:
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
                yield _Shared(one, other, mine.run.record.split, mine.run.record.k, first, second)
