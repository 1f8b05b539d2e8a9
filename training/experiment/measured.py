"""What an experiment measured: for each model, arm, seed and judge a folder of results, and its scores."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

from grading import UserError
from skillmix_tasks.items.pack import Split
from skillmix_tasks.scoring.metrics import Scores
from skillmix_tasks.stored.find_results import samples_of
from skillmix_tasks.stored.record import RunRecord, judge_identity, read_records
from skillmix_tasks.stored.samples import Generation, read_samples

BASE = "base"  # the arm of a model as it was before training
TEACHER = "teacher"  # the arm of the model that wrote the texts


@dataclass(frozen=True)
class Measured:
    """Results of one model under one judge: `results` holds results_*.json of lm-eval with their samples.

    `arm` is BASE, TEACHER or the arm's name. `seed` is the training's; BASE and TEACHER have none.
    """

    model: str
    arm: str
    seed: int | None
    judge: str
    results: Path


class TaskKey(NamedTuple):
    """What tells the tasks of an experiment apart."""

    split: Split
    k: int
    drop_common: bool


class Answered(NamedTuple):
    """One answer: its hash, and whether it has all points; None without a verdict."""

    text: str
    full: bool | None


@dataclass(frozen=True)
class TaskScores:
    """The items of one task by their hash: their scores (None without a verdict) and their answers.

    `rules` is what must be equal for scores to compare, but for the judge.
    """

    judge: dict[str, Any]
    rules: dict[str, Any]
    scores: Mapping[str, Scores | None]
    answers: Mapping[str, tuple[Answered, ...]]


Read = dict[Measured, dict[TaskKey, TaskScores]]


def read_all(measured: Sequence[Measured]) -> Read:
    """The scores of every folder; UserError if one cannot be read, or if their scores do not compare."""
    read = {one: read_scores(one.results) for one in measured}
    first: dict[str, tuple[Measured, dict[str, Any]]] = {}  # rules are those of all, and a judge's by its name
    for one, tasks in read.items():
        for scores in tasks.values():
            for of, what, values in (("", "", scores.rules), (one.judge, "judge ", scores.judge)):
                other, expected = first.setdefault(of, (one, values))
                for name in expected | values:
                    if expected.get(name) != values.get(name):
                        raise UserError(
                            f"{other.results} and {one.results} differ in {what}{name} "
                            f"({expected.get(name)!r} and {values.get(name)!r}), so their scores are not "
                            "comparable: evaluate both with the same one."
                        )
    return read


def read_scores(folder: Path) -> dict[TaskKey, TaskScores]:
    """The newest judged results of each task under `folder`; UserError if it holds no results."""
    found: dict[TaskKey, TaskScores] = {}
    for path in sorted(folder.rglob("results_*.json"), key=lambda file: file.name):
        data, records = read_records(path)
        for name, record in records.items():
            if record.judge is not None:
                key = TaskKey(record.split, record.k, record.drop_common)
                found[key] = _read(path, name, record, data)
    if not found:
        raise UserError(f"{folder} holds no judged results: name what `skillmix eval` or `skillmix grade` wrote.")
    return found


def _read(path: Path, task: str, record: RunRecord, data: dict[str, Any]) -> TaskScores:
    samples = samples_of(path, task)
    if samples is None:
        raise UserError(f"{path} has no samples of {task} beside it: evaluate again with --log_samples.")
    scores: dict[str, Scores | None] = {}
    answers: dict[str, tuple[Answered, ...]] = {}
    for sample, generations in read_samples(samples, samples):
        scores[sample.doc.hash] = sample.scores
        answers[sample.doc.hash] = tuple(map(_answered, generations))
    stated = data["results"].get(task, {}).get("sample_len")
    if len(scores) != stated:
        raise UserError(
            f"{samples} has {len(scores)} items and {path.name} states {stated}: put back the files that lm-eval "
            "wrote, or grade the answers again."
        )
    rules = {
        "task version": str(data["configs"][task]["metadata"].get("version")),
        "pack": record.pack.hash,
        "turns": record.turns,
        "generations": record.generations,
        "seed": record.seed,
    }
    return TaskScores(judge_identity(record.judge or {}), rules, scores, answers)


def _answered(generation: Generation) -> Answered:
    points = generation.points.values()
    full = None if None in points and False not in points else all(points)
    return Answered(hashlib.sha256(generation.answer.encode()).hexdigest()[:16], full)
