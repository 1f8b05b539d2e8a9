"""Two judges on the same answers: how often they agree, point by point."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import combinations

from hub_cards.report.study.board import Measured, Row
from skillmix_tasks.calibration.agreement import Agreement, compare
from skillmix_tasks.stored.samples import kind_of

_KINDS = ("all", "skill", "topic", "sense")
_Decided = tuple[dict[str, bool], dict[str, bool]]  # the decisions of both judges on the points of one answer


@dataclass(frozen=True)
class Judges:
    """Two judges of one student's answers; `kinds` has their agreement on all points, and by kind of point.

    In an Agreement the first judge is the reference.
    """

    student: str
    first: str
    second: str
    answers: int
    kinds: dict[str, Agreement]


def judges_compared(rows: Sequence[Row], entries: Sequence[Measured]) -> list[Judges]:
    """Each two rows of which both judges have judged the same answers."""
    found = []
    for one, other in combinations(rows, 2):
        if one.name == other.name and one.judge != other.judge and one.pack == other.pack:
            pairs = list(_common(one, other, entries))
            if pairs:
                kinds = {kind: compare([list(_points(pair, kind)) for pair in pairs]) for kind in _KINDS}
                found.append(Judges(one.student, one.judge, other.judge, len(pairs), kinds))
    return found


def _common(one: Row, other: Row, entries: Sequence[Measured]) -> Iterable[_Decided]:
    theirs: defaultdict[str, dict[tuple[str, str], dict[str, bool]]] = defaultdict(dict)
    for number in other.runs:
        if (tally := entries[number].tally) is not None:
            theirs[entries[number].run.task] |= tally.judged
    for number in one.runs:
        if (tally := entries[number].tally) is not None:
            known = theirs[entries[number].run.task]
            for answer, points in tally.judged.items():
                if answer in known:
                    yield points, known[answer]


def _points(pair: _Decided, kind: str) -> Iterable[tuple[bool, bool]]:
    first, second = pair
    for point, earned in first.items():
        if point in second and kind in ("all", kind_of(point)):
            yield earned, second[point]
