"""One student's report: its lost points, the points on which votes disagree, its cost, and answers to look at."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from grading.cost.stats import sum_known
from hub_cards.report.results.answers import AnswerRow
from hub_cards.report.results.tally import KINDS, Points
from hub_cards.report.stats.saturation import Saturation, saturation
from hub_cards.report.study.board import SPLITS, Measured, Row
from skillmix_tasks.stored.samples import Named
from training.intervals import Share

EXAMPLES = 4  # of each sort


@dataclass(frozen=True)
class SkillLine:
    """A skill's share of points earned, for each k and over all."""

    name: str
    category: str
    by_k: dict[int, Share | None]
    all: Share | None


@dataclass(frozen=True)
class StudentReport:
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


def make_student_report(row: Row, entries: Sequence[Measured], answers: Sequence[AnswerRow]) -> StudentReport:
    """The report of a measured row's student; `answers` are those of all runs."""
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
    return StudentReport(
        row=row,
        saturation={split: point for split in SPLITS if (point := saturation(row.by_k("full_marks", split)))},
        kinds=kinds if tallies else {},
        skills=_skills(runs.values()),
        pairs={pair: share for pair, points in sorted(pairs.items()) if (share := points.share())},
        disputed={kind: (split[kind], voted[kind]) for kind in KINDS if voted[kind]},
        code=dict(sum((tally.code for tally in tallies), Counter()).most_common()),
        states=dict(sum((Counter(one.points_without_verdict) for one in records), Counter()).most_common()),
        ungrounded=(sum(one.points for one in ungrounded), sum(one.judged_points for one in ungrounded)),
        spent={name: sum_known(one.cost(name) for one in records) for name in names},
        seconds=sum_known(files.values()),
        examples=_examples(set(runs), answers),
    )


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


def _examples(runs: set[int], answers: Sequence[AnswerRow]) -> dict[str, list[int]]:
    mine = [(number, answer) for number, answer in enumerate(answers) if answer.run in runs]
    full = [(number, answer) for number, answer in mine if answer.full_marks]
    lost = [(number, answer) for number, answer in mine if answer.full_marks == 0]
    disputed = [(number, answer) for number, answer in mine if answer.disputed]
    # Sorting keeps the order of equal ones; of equal scores those with more skills and agreeing votes say more.
    full.sort(key=lambda one: (-(one[1].full_marks or 0), -len(one[1].skills), one[1].disputed))
    lost.sort(key=lambda one: (one[1].skill_fraction or 0, len(one[1].skills), one[1].disputed))
    disputed.sort(key=lambda one: -one[1].disputed)
    named = {"best": full, "worst": lost, "most disputed": disputed}
    return {name: [number for number, _ in found[:EXAMPLES]] for name, found in named.items()}
