"""The changes by training: the scores of the base and of the trained model on the same items, in one table.

The papers' tables 2 and 3 for your own run: a row for each split and k, with full marks, all skills and
skill fraction before and after.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import stdev
from typing import Any, NamedTuple

from grading import UserError
from grading.intervals import Interval
from grading.safety.bounds import load_json, read_bytes, readable
from grading.safety.templates import own_template
from skillmix_tasks.scoring.metrics import METRICS
from skillmix_tasks.stored.find_results import samples_of
from skillmix_tasks.stored.record import RunRecord, judge_identity, task_record
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


@dataclass(frozen=True)
class Half:
    """One side of a comparison: lm-eval's results, and each task's samples."""

    results: dict[str, Any]
    samples: Mapping[str, Sequence[dict[str, Any]]]


def read_half(folder: Path) -> Half:
    """The newest results under `folder` with their samples; UserError if they are missing."""
    found = sorted(folder.glob("**/results_*.json"), key=lambda file: file.name)
    if not found:
        raise UserError(f"{folder} holds no results of `skillmix eval` or `skillmix grade`.")
    newest = found[-1]
    results: dict[str, Any] = _parsed(read_bytes(newest), f"{newest}", folder)
    samples = {}
    for task in results["results"]:
        file = samples_of(newest, task)
        if file is None:
            raise UserError(f"{newest} has no samples of {task} beside it: move {folder} away and compare again.")
        with readable(file) as lines:
            samples[task] = [
                _parsed(line, f"{file}, line {number},", folder) for number, line in enumerate(lines, start=1)
            ]
    return Half(results, samples)


def _parsed(text: bytes, where: str, folder: Path) -> dict[str, Any]:
    try:
        parsed: dict[str, Any] = load_json(text)
    except ValueError as error:
        raise UserError(
            f"{where} is truncated or damaged: remove {folder / 'whole'} and type the same command again, which "
            "writes it again and pays for no vote twice."
        ) from error
    return parsed


def compare_halves(before: Half, after: Half) -> list[ComparedTask]:
    """A row for each task, by split and k; UserError if the halves are of different tasks, items or judges."""
    tasks = {task: _record(before, task) for task in before.samples}
    if tasks.keys() != after.samples.keys():
        raise UserError("The two halves are of different tasks: compare the same ones.")
    rows = []
    for task, record in tasks.items():
        if judge_identity(record.judge or {}) != judge_identity(_record(after, task).judge or {}):
            raise UserError(
                f"{task} was judged by different judges before and after: grade both with the same judge."
            )
        first, second = ({one["doc"]["hash"]: one for one in half.samples[task]} for half in (before, after))
        if first.keys() != second.keys():
            raise UserError(f"{task} has other items before than after: evaluate both on the same items.")
        rows.append(
            ComparedTask(
                task,
                record.split,
                record.k,
                len(first),
                Covered(_covered(first), _covered(second)),
                (_answers(record), _answers(_record(after, task))),
                {
                    metric: _change(
                        [(first[item][metric], second[item][metric]) for item in first],
                        before.results["results"][task],
                        after.results["results"][task],
                        metric,
                    )
                    for metric in METRICS
                },
            )
        )
    order = list(SPLITS)
    return sorted(rows, key=lambda row: (order.index(row.split), row.k, row.task))


def comparison_record(rows: Sequence[ComparedTask], about: Mapping[str, Any]) -> dict[str, Any]:
    """The comparison as JSON."""
    return {**about, "tasks": [asdict(row) for row in rows]}


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
                    "verdicts": _verdicts(row),
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


def _record(half: Half, task: str) -> RunRecord:
    record = task_record(half.results, task, f"The half with {task}")
    if record is None or record.judge is None:
        raise UserError(f"{task} has no judged answers of SKILL-MIX: there is nothing to compare.")
    return record


def _answers(record: RunRecord) -> str:
    return record.answers.line() if record.answers else ""


def _covered(samples: Mapping[str, dict[str, Any]]) -> int:
    return sum(sample["coverage"] == 1 for sample in samples.values())


def _verdicts(row: ComparedTask) -> str:
    if row.covered == (row.items, row.items):
        return str(row.items)
    return f"{row.covered.before}/{row.items}, {row.covered.after}/{row.items}"


def _change(
    pairs: Sequence[tuple[float, float]], before: Mapping[str, Any], after: Mapping[str, Any], metric: str
) -> Change:
    known = [pair for pair in pairs if not any(map(math.isnan, pair))]
    found = compare(*zip(*known, strict=True)) if known else None
    changes = [last - first for first, last in known]
    return Change(
        before=_known(before.get(f"{metric},none")),
        before_stderr=_known(before.get(f"{metric}_stderr,none")),
        after=_known(after.get(f"{metric},none")),
        after_stderr=_known(after.get(f"{metric}_stderr,none")),
        change=found.difference if found else None,
        change_stderr=stdev(changes) / math.sqrt(len(changes)) if len(changes) > 1 else None,
        pairs=len(known),
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
