"""The leaderboard: one row for each student, judge, protocol and pack, measured here or published elsewhere."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from statistics import fmean

from grading.intervals import Interval
from hub_cards.report.results.parties import Party, digest
from hub_cards.report.results.runs import Run
from hub_cards.report.results.tally import Tally
from skillmix_tasks.calibration.record import Calibration
from skillmix_tasks.scoring.metrics import METRICS
from skillmix_tasks.stored.record import PackRecord
from training.intervals import scores_interval
from training.published import PublishedRow

NOT_STATED = "not stated"  # the split of some published results
SPLITS = ("all", "train", "heldout", "public", NOT_STATED)


@dataclass(frozen=True)
class Cell:
    """One score; `items` have a verdict, of `asked`. `low` and `high` bound full marks where some have none.

    A published score has no interval, and mostly no number of items.
    """

    value: float
    interval: Interval | None
    items: int | None
    asked: int | None
    coverage: float | None
    low: float | None
    high: float | None


@dataclass
class Row:
    """A line of the leaderboard; `cells` by metric, split and k. Rows of one `group` may be ranked together.

    `student` is its name as it is shown, with a warning about its answers, and `name` the name alone.
    """

    id: str
    source: str
    student: str
    name: str
    judge: str
    protocol: str
    pack: str
    group: str
    controls: str = ""
    controls_failed: bool = False
    calibration: str = ""
    cells: dict[tuple[str, str, int], Cell] = field(default_factory=dict)
    runs: list[int] = field(default_factory=list)

    def by_k(self, metric: str, split: str) -> dict[int, Cell]:
        return {k: cell for (m, s, k), cell in sorted(self.cells.items()) if (m, s) == (metric, split)}

    @property
    def level(self) -> float:
        """The mean of all full marks, to put rows in an order."""
        values = [cell.value for (metric, _, _), cell in self.cells.items() if metric == "full_marks"]
        return fmean(values) if values else 0.0


@dataclass(frozen=True)
class Measured:
    """A run with the figures of its samples, if there are any."""

    run: Run
    tally: Tally | None


def measured_rows(
    entries: Sequence[Measured], calibrations: Sequence[Calibration] = ()
) -> tuple[list[Row], dict[str, list[str]]]:
    """The rows of runs, and by student the tasks of which a newer run replaces an older one.

    A row carries the first of the `calibrations` that is of its judge.
    """
    newest: dict[tuple[str, str, str], int] = {}
    replaced: dict[str, list[str]] = {}
    for number, entry in sorted(enumerate(entries), key=lambda one: one[1].run.date):
        key = (entry.run.group, entry.run.student.key, entry.run.task)
        if key in newest:
            replaced.setdefault(entry.run.student.name, []).append(entry.run.task)
        newest[key] = number
    runs = [entry.run for entry in entries]
    students, judges = _names(run.student for run in runs), _names(run.judge for run in runs)
    rows: dict[tuple[str, str], Row] = {}
    for number in sorted(newest.values()):
        run, tally = entries[number].run, entries[number].tally
        row = rows.setdefault(
            (run.group, run.student.key),
            Row(
                id=digest([run.group, run.student.key]),
                source="measured",
                student=students[run.student.key] + _mark(run),
                name=students[run.student.key],
                judge=judges[run.judge.key],
                protocol=run.protocol.text(),
                pack=_pack_text(run.record.pack),
                group=run.group,
            ),
        )
        row.runs.append(number)
        row.cells |= {(metric, run.record.split, run.record.k): cell for metric, cell in _cells(run, tally)}
    for row in rows.values():
        row.runs.sort(key=lambda number: (SPLITS.index(runs[number].record.split), runs[number].record.k))
        # A judge is looked up once, in the run that came first.
        known = [one.record.controls for one in runs if one.record.controls and one.group == row.group]
        if known:
            worst = min(known, key=lambda one: one.passed / one.of)
            row.controls = f"{worst.passed} of {worst.of} control answers judged rightly"
            row.controls_failed = bool(worst.failed)
        judge = runs[row.runs[0]].judge_record
        row.calibration = next((one.line() for one in calibrations if one.is_of(judge)), "")
    return list(rows.values()), replaced


def _pack_text(pack: PackRecord) -> str:
    said = f"{pack.name} ({pack.hash})"
    if pack.lists == "paper-b":
        return f"{said}, the skills and topics of arXiv 2409.19808"
    return f"{said}, a part of the skills and topics of arXiv 2409.19808" if pack.lists else said


def published_rows(published: Iterable[PublishedRow]) -> list[Row]:
    rows: dict[str, Row] = {}
    for one in published:
        variant = ["names deducted"] if one.names_deducted else []
        variant += ["items with common skills dropped"] if one.common_dropped else []
        judge = f"{one.judge} (no longer served)"
        protocol = f"as in arXiv {one.source.arxiv}; {', '.join(variant)}"
        group = digest(["published", judge, protocol])
        student = one.student if one.training == "none" else f"{one.student} + {one.training}"
        row = rows.setdefault(
            digest([group, student]),
            Row(
                id=digest([group, student]),
                source=f"published, {one.source.page}, {one.source.date:%Y-%m-%d}",
                student=student,
                name=student,
                judge=judge,
                protocol=protocol,
                pack="the papers' own lists",
                group=group,
            ),
        )
        for metric in METRICS:
            value = getattr(one, metric, None)  # papers give some
            if value is not None:
                split = one.split or NOT_STATED
                row.cells[metric, split, one.k] = Cell(value, None, one.items, one.items, None, None, None)
    return list(rows.values())


def _mark(run: Run) -> str:
    """A warning about a student's answers for readers of its rank."""
    line = run.record.answers.line() if run.record.answers else ""
    return f" ({line})" if line else ""


def _names(parties: Iterable[Party]) -> dict[str, str]:
    """A name for each key; parties that share a name get their difference, or a number, after it."""
    known = {party.key: party for party in parties}
    alike: defaultdict[str, list[Party]] = defaultdict(list)
    for party in known.values():
        alike[party.name].append(party)
    names = {}
    for name, members in alike.items():
        facts = sorted({fact for one in members for fact in one.facts})
        telling = [fact for fact in facts if len({str(one.facts.get(fact)) for one in members}) > 1]
        shown = [
            ", ".join(f"{fact.replace('_', ' ')} {one.facts.get(fact, 'not set')}" for fact in telling[:2])
            for one in members
        ]
        unclear = len(set(shown)) < len(members)
        for place, one in enumerate(members):
            words = str(place + 1) if unclear else shown[place]
            names[one.key] = name if len(members) == 1 else f"{name} ({words})"
    return names


def _cells(run: Run, tally: Tally | None) -> Iterable[tuple[str, Cell]]:
    for metric in METRICS:
        score = run.scores[metric]
        if score is None:
            continue
        interval = run.interval(metric)
        if tally is not None:
            known = [getattr(scores, metric) for scores in tally.scores.values() if scores is not None]
            interval = scores_interval(known)
        bounds = (run.low, run.high) if metric == "full_marks" and run.coverage < 1 else (None, None)
        yield metric, Cell(score.value, interval, run.covered, run.items, run.coverage, *bounds)
