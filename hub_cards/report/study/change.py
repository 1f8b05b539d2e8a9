"""The changes by fine-tuning: one student before and after on every task, and the compositional gap.

The two splits have different items, so their difference is one of independent shares (Newcombe 1998, Statistics in
Medicine 17:873, method 10). A difference of differences has the interval of Zou and Donner 2008 (Statistics in
Medicine 27:1693), which joins the two intervals as they are.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from math import sqrt

from grading.intervals import CONFIDENCE, Interval
from hub_cards.report.study.board import Row
from hub_cards.report.study.compare import Pair
from training.published import PublishedRow


@dataclass(frozen=True)
class Change:
    """Full marks of one task before and after; `adjusted` as in Pair, `published` the paper's result."""

    split: str
    k: int
    before: float
    after: float
    items: int
    interval: Interval | None
    adjusted: float
    published: tuple[str, ...]


@dataclass(frozen=True)
class Difference:
    """A difference of shares with its interval."""

    value: float
    interval: Interval


@dataclass(frozen=True)
class Gap:
    """Full marks on train minus held-out items at one k: before, after, and how much the gap changed."""

    k: int
    before: Difference
    after: Difference
    change: Difference


@dataclass(frozen=True)
class Training:
    """All changes between two rows of one group."""

    before: Row
    after: Row
    changes: tuple[Change, ...]
    gaps: tuple[Gap, ...]


def trainings(
    rows: Sequence[Row],
    pairs: Sequence[Pair],
    published: Iterable[PublishedRow],
    before: str,
    after: Collection[str],
) -> list[Training]:
    """For each group that has students named `before` and as one of `after`, the changes between them."""
    found = []
    stated = list(published)
    for one in rows:
        for other in rows:
            if one.name == before and other.name in after and one.group == other.group:
                changes = tuple(_changes(one, other, pairs, stated))
                found.append(Training(one, other, changes, tuple(_gaps(changes))))
    return found


def _changes(
    before: Row, after: Row, pairs: Sequence[Pair], published: Sequence[PublishedRow]
) -> Iterable[Change]:
    for pair in pairs:
        if pair.metric != "full_marks" or {pair.first, pair.second} != {before.id, after.id}:
            continue
        result = pair.result
        forward = pair.first == before.id
        interval = result.interval
        if interval is not None and not forward:
            interval = Interval(-interval.high, -interval.low)
        first, second = (result.first, result.second) if forward else (result.second, result.first)
        theirs = tuple(_published(published, pair.split, pair.k))
        yield Change(pair.split, pair.k, first, second, result.items, interval, pair.adjusted, theirs)


def _published(rows: Sequence[PublishedRow], split: str, k: int) -> Iterable[str]:
    here = [row for row in rows if (row.split, row.k) == (split, k)]
    for row in here:
        if row.training == "none":
            for other in here:
                if other.student == row.student and other.training != "none" and other.source == row.source:
                    yield f"{row.student} {row.full_marks:.2f} to {other.full_marks:.2f} with {other.training}"


def _gaps(changes: Sequence[Change]) -> Iterable[Gap]:
    by_task = {(change.split, change.k): change for change in changes}
    for (split, k), train in sorted(by_task.items()):
        heldout = by_task.get(("heldout", k))
        if split != "train" or heldout is None or train.interval is None or heldout.interval is None:
            continue
        gaps = [
            independent(round(one * heldout.items), heldout.items, round(other * train.items), train.items)
            for one, other in ((heldout.before, train.before), (heldout.after, train.after))
        ]
        change = change_of_gap(
            Difference(train.after - train.before, train.interval),
            Difference(heldout.after - heldout.before, heldout.interval),
        )
        yield Gap(k, gaps[0], gaps[1], change)


def independent(first: int, of_first: int, second: int, of_second: int) -> Difference:
    """The second share minus the first, of different items."""
    from statsmodels.stats.proportion import confint_proportions_2indep

    low, high = confint_proportions_2indep(
        second, of_second, first, of_first, method="newcomb", compare="diff", alpha=1 - CONFIDENCE
    )
    return Difference(second / of_second - first / of_first, Interval(float(low), float(high)))


def change_of_gap(train: Difference, heldout: Difference) -> Difference:
    """How much more a student gained on train skills than on held-out ones; the two are of different items."""
    value = train.value - heldout.value
    return Difference(
        value,
        Interval(
            value - sqrt((train.value - train.interval.low) ** 2 + (heldout.interval.high - heldout.value) ** 2),
            value + sqrt((train.interval.high - train.value) ** 2 + (heldout.value - heldout.interval.low) ** 2),
        ),
    )
