"""The changes by training: the scores of the base and of the trained model on the same items, in one table.

The papers' tables 2 and 3 for your own run: a row for each split and k, with full marks, all skills and
skill fraction before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

from grading import UserError
from grading.commands.words import many
from grading.intervals import Interval
from grading.safety.templates import own_template
from skillmix_tasks.scoring.metrics import METRICS, Scores
from skillmix_tasks.stored.find_results import samples_of
from skillmix_tasks.stored.record import RunRecord, judge_identity, read_records
from skillmix_tasks.stored.samples import read_samples
from training.paired import compare

# With fewer, two standard errors of a change are more than 0.2, where half of the items differ.
FEW = 50
SPLITS = {"all": "all", "train": "train", "heldout": "held-out", "public": "public"}


@dataclass(frozen=True)
class Change:
    """One metric before and after, each with its standard error; None if unknown.

    `change` is the mean over the `pairs` items with a verdict on both sides, so it may differ a little from the
    difference of the two means. `interval` and `p` are those of training.paired.
    """

    before: float | None
    before_stderr: float | None
    after: float | None
    after_stderr: float | None
    change: float | None
    change_stderr: float | None
    pairs: int
    interval: Interval | None
    p: float | None

    def cells(self) -> tuple[str, str, str]:
        """The scores before and after and the change for a reader: 0.08 ± 0.03, 0.49 ± 0.05, +0.41 ± 0.06."""
        return (
            _number(self.before, self.before_stderr, ""),
            _number(self.after, self.after_stderr, ""),
            _number(self.change, self.change_stderr, "+"),
        )


class Covered(NamedTuple):
    """Items with a verdict."""

    before: int
    after: int


@dataclass(frozen=True)
class ComparedTask:
    """A task's items, how many of them have a verdict before and after, and the metrics' changes by name.

    `answers` describes unusual answers before and after: states, cuts, reasoning.
    """

    task: str
    split: str
    k: int
    items: int
    covered: Covered
    answers: tuple[str, str]
    metrics: Mapping[str, Change]

    @property
    def complete(self) -> bool:
        """Whether every item has a verdict on both sides."""
        return self.covered == (self.items, self.items)


@dataclass(frozen=True)
class Half:
    """One side of a comparison: lm-eval's results, and for each task its record and its items' scores by hash.

    The scores of an item without a verdict are None.
    """

    results: dict[str, Any]
    records: Mapping[str, RunRecord]
    scores: Mapping[str, Mapping[str, Scores | None]]


def read_half(folder: Path) -> Half:
    """The newest results under `folder` with their samples; UserError if they are missing."""
    found = sorted(folder.glob("**/results_*.json"), key=lambda file: file.name)
    if not found:
        raise UserError(f"{folder} holds no results of `skillmix eval` or `skillmix grade`.")
    newest = found[-1]
    try:
        results, records = read_records(newest)
        files = [(task, file) for task in records if (file := samples_of(newest, task))]
        scores = {task: {one.doc.hash: one.scores for one, _ in read_samples(file, file)} for task, file in files}
    except UserError as error:
        raise UserError(
            f"{error} If the file is truncated or damaged: remove {folder / 'whole'} and type the same command "
            "again, which writes it again and pays for no vote twice."
        ) from error
    for task in results["results"]:
        if task not in records or records[task].judge is None:
            raise UserError(f"{task} has no judged answers of SKILL-MIX: there is nothing to compare.")
        if task not in scores:
            raise UserError(f"{newest} has no samples of {task} beside it: move {folder} away and compare again.")
    return Half(results, records, scores)


def compare_halves(before: Half, after: Half) -> list[ComparedTask]:
    """A row for each task, by split and k; UserError if the halves are of different tasks, items or judges."""
    if before.records.keys() != after.records.keys():
        raise UserError("The two halves are of different tasks: compare the same ones.")
    rows = []
    for task, record in before.records.items():
        other = after.records[task]
        if judge_identity(record.judge or {}) != judge_identity(other.judge or {}):
            raise UserError(
                f"{task} was judged by different judges before and after: grade both with the same judge."
            )
        first, second = before.scores[task], after.scores[task]
        if first.keys() != second.keys():
            raise UserError(f"{task} has other items before than after: evaluate both on the same items.")
        both = [(one, two) for item, one in first.items() if one is not None and (two := second[item]) is not None]
        rows.append(
            ComparedTask(
                task,
                record.split,
                record.k,
                len(first),
                Covered(_covered(first), _covered(second)),
                (_answers(record), _answers(other)),
                {
                    metric: _change(
                        [(one[place], two[place]) for one, two in both],
                        before.results["results"][task],
                        after.results["results"][task],
                        metric,
                    )
                    for place, metric in enumerate(METRICS)
                },
            )
        )
    order = list(SPLITS)
    return sorted(rows, key=lambda row: (order.index(row.split), row.k, row.task))


def comparison_text(runs: Mapping[str, Sequence[ComparedTask]], about: Sequence[str]) -> str:
    """The comparison of each run, by its name, as a page of Markdown; `about` are sentences for its beginning."""
    return own_template("training", "templates", "comparison.md.jinja").render(
        about=about,
        runs={
            name: [
                {
                    "task": row.task,
                    "split": SPLITS[row.split],
                    "k": row.k,
                    "size": _size(row),
                    "metrics": [(metric.replace("_", " "), *row.metrics[metric].cells()) for metric in METRICS],
                }
                for row in rows
            ]
            for name, rows in runs.items()
        },
        few=list(
            dict.fromkeys(
                f"{row.task} {min(row.covered)}"
                for rows in runs.values()
                for row in rows
                if min(row.covered) < FEW
            )
        ),
        least=FEW,
        partial=not all(row.complete for rows in runs.values() for row in rows),
        errors=any(
            change.before_stderr is not None or change.after_stderr is not None
            for rows in runs.values()
            for row in rows
            for change in row.metrics.values()
        ),
        notes=list(
            dict.fromkeys(
                f"{row.task}, {side}: {line}."
                for name, rows in runs.items()
                for row in rows
                for side, line in zip(("before", "after" if len(runs) == 1 else name), row.answers, strict=True)
                if line
            )
        ),
    )


def _answers(record: RunRecord) -> str:
    return record.answers.line() if record.answers else ""


def _covered(scores: Mapping[str, Scores | None]) -> int:
    return sum(one is not None for one in scores.values())


def _size(row: ComparedTask) -> str:
    if row.complete:
        return many(row.items, "item")
    return f"{row.covered.before}/{row.items}, {row.covered.after}/{row.items} items"


def _change(
    pairs: Sequence[tuple[float, float]], before: Mapping[str, Any], after: Mapping[str, Any], metric: str
) -> Change:
    found = compare(*zip(*pairs, strict=True)) if pairs else None
    changes = [last - first for first, last in pairs]
    return Change(
        before=_known(before.get(f"{metric},none")),
        before_stderr=_known(before.get(f"{metric}_stderr,none")),
        after=_known(after.get(f"{metric},none")),
        after_stderr=_known(after.get(f"{metric}_stderr,none")),
        change=found.difference if found else None,
        change_stderr=stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else None,
        pairs=len(pairs),
        interval=found.interval if found else None,
        p=found.p if found else None,
    )


def _known(value: object) -> float | None:
    """lm-eval writes NaN for a score without items, and "N/A" for an unknown error."""
    return float(value) if isinstance(value, int | float) and not math.isnan(value) else None


def _number(value: float | None, stderr: float | None, sign: str) -> str:
    if value is None:
        return "no verdict"
    return f"{value:{sign}.2f}" + ("" if stderr is None else f" ± {stderr:.2f}")
