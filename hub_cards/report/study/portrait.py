"""One student's report: what it fails, where, on what the votes disagree, what it cost, and answers to look at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from hub_cards.report.results.samples import Named
from hub_cards.report.results.tally import KINDS, Points
from hub_cards.report.stats.intervals import Share
from hub_cards.report.stats.saturation import Saturation, saturation
from hub_cards.report.study.board import SPLITS, Measured, Row

EXAMPLES = 4  # of each sort


@dataclass(frozen=True)
class SkillLine:
    """A skill's share of points earned, for each k and over all."""

    name: str
    category: str
    by_k: dict[int, Share | None]
    all: Share | None


@dataclass(frozen=True)
class Portrait:
    """All about one row. Figures without samples are empty; `examples` are numbers of answers on the page.

    `kinds` has the share of points earned by kind, for each task's (split, k); `disputed` (points on which votes
    disagree, points with several votes) by kind; `code` how many points or answers were lost in code, by reason.
    """

    row: Row
    saturation: dict[str, Saturation]
    kinds: dict[str, dict[tuple[str, int], Share | None]]
    skills: list[SkillLine]
    pairs: dict[tuple[str, str], Share]
    disputed: dict[str, tuple[int, int]]
    code: dict[str, int]
    states: dict[str, int]
    ungrounded: tuple[int, int]
    spent: dict[str, float | None]
    seconds: float | None
    examples: dict[str, list[int]]


def portray(row: Row, entries: Sequence[Measured], answers: Sequence[Sequence[Any]]) -> Portrait:
    """The portrait of a measured row; `answers` are the rows of hub_cards.report.results.answers."""
    runs = {number: entries[number] for number in row.runs}
    tallies = [entry.tally for entry in runs.values() if entry.tally is not None]
    kinds: dict[str, dict[tuple[str, int], Share | None]] = {
        kind: {
            (entry.run.record.split, entry.run.record.k): entry.tally.kinds[kind].share()
            for entry in runs.values()
            if entry.tally is not None
        }
        for kind in KINDS
    }
    pairs: defaultdict[tuple[str, str], Points] = defaultdict(Points)
    for tally in tallies:
        for pair, points in tally.pairs.items():
            pairs[pair].extend(points)
    voted = sum((tally.voted for tally in tallies), Counter())
    split = sum((tally.split for tally in tallies), Counter())
    records = [entry.run.record for entry in runs.values()]
    ungrounded = [one.ungrounded for one in records if one.ungrounded]
    names = ("prompt_tokens", "completion_tokens", "dollars")
    files = {entry.run.source: entry.run.seconds for entry in runs.values()}
    return Portrait(
        row=row,
        saturation=_saturation(row),
        kinds=kinds if tallies else {},
        skills=_skills(runs.values()),
        pairs={pair: share for pair, points in sorted(pairs.items()) if (share := points.share())},
        disputed={kind: (split[kind], voted[kind]) for kind in KINDS if voted[kind]},
        code=dict(sum((tally.code for tally in tallies), Counter()).most_common()),
        states=dict(sum((Counter(one.points_without_verdict) for one in records), Counter()).most_common()),
        ungrounded=(sum(one.points for one in ungrounded), sum(one.judged_points for one in ungrounded)),
        spent={name: _total([one.cost(name) for one in records]) for name in names},
        seconds=_total(list(files.values())),
        examples=_examples(set(runs), answers),
    )


def _total(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None


def _saturation(row: Row) -> dict[str, Saturation]:
    found = {}
    for wanted in SPLITS:
        scores = {k: (cell.value, cell.interval) for k, cell in row.by_k("full_marks", wanted).items()}
        if point := saturation(scores):
            found[wanted] = point
    return found


def _skills(entries: Iterable[Measured]) -> list[SkillLine]:
    names: dict[str, Named] = {}
    points: defaultdict[str, defaultdict[int, Points]] = defaultdict(lambda: defaultdict(Points))
    for entry in entries:
        if entry.tally is not None:
            names |= entry.tally.names
            for skill, one in entry.tally.skills.items():
                points[skill][entry.run.record.k].extend(one)
    lines = []
    for skill, by_k in points.items():
        every = Points()
        for one in by_k.values():
            every.extend(one)
        shares = {k: one.share() for k, one in sorted(by_k.items())}
        lines.append(SkillLine(names[skill].name, names[skill].category, shares, every.share()))
    return sorted(lines, key=lambda line: (line.category, line.name))


def _examples(runs: set[int], answers: Sequence[Sequence[Any]]) -> dict[str, list[int]]:
    mine = [number for number, answer in enumerate(answers) if answer[0] in runs]
    judged = [number for number in mine if answers[number][4] is not None]
    # Of equal scores those with more skills and agreeing votes say more.
    best = sorted(judged, key=lambda n: (-answers[n][4], -len(answers[n][2]), answers[n][6], n))
    worst = sorted(judged, key=lambda n: (answers[n][4], answers[n][5], len(answers[n][2]), answers[n][6], n))
    disputed = sorted(mine, key=lambda n: (-answers[n][6], n))
    return {
        "best": [n for n in best[:EXAMPLES] if answers[n][4]],
        "worst": [n for n in worst[:EXAMPLES] if not answers[n][4]],
        "most disputed": [n for n in disputed[:EXAMPLES] if answers[n][6]],
    }
