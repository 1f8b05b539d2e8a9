"""The Hub's own leaderboards: `eval.yaml` of the benchmark's data set, and `.eval_results/` of models.

    eval.yaml                      in the data set: its tasks, each of them a leaderboard
    judge.json                     in the data set: the judge, votes and task version that its leaderboards rank
    .eval_results/skillmix.yaml    in a model: full marks in percent for each task

The formats are the Hub's (hub-docs, eval-results.md); huggingface_hub reads the second as EvalResultEntry.
"""

from __future__ import annotations

import datetime
from collections.abc import Mapping, Sequence
from pathlib import Path

import yaml
from huggingface_hub import EvalResultEntry, eval_result_entries_to_yaml, parse_eval_result_entries
from pydantic import BaseModel, Field, ValidationError

from grading import UserError
from grading.errors import first_fault
from grading.models.judge import default_judge
from grading.safety.bounds import load_json, load_yaml, read_text
from hub_cards.evaluations import Evaluation
from hub_cards.hub.files import File
from hub_cards.hub.publication import Remote
from hub_cards.hub.records import json_file
from hub_cards.report.results.parties import digest
from hub_cards.report.study.board import Cell, Row
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_version
from skillmix_tasks.items.hub import config_of

EVAL_YAML, JUDGE, RESULTS = "eval.yaml", "judge.json", ".eval_results/skillmix.yaml"
FRAMEWORK = "skillmix-tasks"  # an entry of the Hub's list of frameworks, see docs/publishing.md
VOTES = 3


class Pinned(BaseModel, frozen=True):
    """The settings that results must share to be on one leaderboard."""

    judge: str
    votes: int = Field(ge=1)
    task_version: str


def benchmark_files(title: str, tasks: Sequence[str], judge: str | None) -> list[File]:
    """eval.yaml with a leaderboard for each task, and judge.json; `judge` is the default judge if not given."""
    pinned = Pinned(judge=judge or default_judge(), votes=VOTES, task_version=tasks_version())
    described = {
        "name": title,
        "description": (
            "Can a model show k language skills at once in a short text on a topic? Scores are full marks in "
            f"percent: the share of items with a text that earns all k + 3 points, judged by {pinned.judge} with "
            f"{pinned.votes} votes. Version {pinned.task_version} of the tasks."
        ),
        "evaluation_framework": FRAMEWORK,
        "tasks": [{"id": task, "config": config_of(task), "split": "test"} for task in tasks],
    }
    text = yaml.safe_dump(described, sort_keys=False, allow_unicode=True)
    return [File(EVAL_YAML, text.encode()), File(JUDGE, json_file(pinned.model_dump()))]


def read_pinned(remote: Remote, benchmark: str) -> Pinned:
    """The judge.json of a benchmark on the Hub; UserError if it has none."""
    if JUDGE not in remote.files:
        raise UserError(f"{benchmark} has no {JUDGE}: push it again with `skillmix push dataset {benchmark}`.")
    try:
        return Pinned.model_validate(load_json(read_text(remote.fetch(JUDGE))))
    except ValidationError as error:
        raise UserError(f"{JUDGE} of {benchmark} cannot be read ({first_fault(error)}).") from error


def results_file(
    evaluations: Sequence[Evaluation], remote: Remote, repo: str, benchmark: str, pinned: Pinned
) -> tuple[list[File], list[str]]:
    """`.eval_results/skillmix.yaml` with the evaluations that the benchmark ranks, and why others are not in it.

    Entries that are in the repository already stay, but for those of the same task of the same benchmark.
    """
    entries, notes = [], []
    for one in evaluations:
        if reason := _unranked(one, pinned, benchmark):
            notes.append(f"{one.run.task}, judged by {one.run.judge.name}, is not in {RESULTS}: {reason}.")
        elif (score := one.run.scores["full_marks"]) is not None:
            entries.append(_entry(one, score.value, repo, benchmark))
    if not entries:
        return [], notes
    new = {(entry.dataset_id, entry.task_id) for entry in entries}
    present = _entries_in(remote.fetch(RESULTS), "the repository") if RESULTS in remote.files else []
    kept = [entry for entry in present if (entry.dataset_id, entry.task_id) not in new]
    data = eval_result_entries_to_yaml([*kept, *entries])
    return [File(RESULTS, yaml.safe_dump(data, sort_keys=False, allow_unicode=True).encode())], notes


def _unranked(one: Evaluation, pinned: Pinned, benchmark: str) -> str:
    run = one.run
    source = (run.record.items_from or {}).get("path", benchmark)
    if source != benchmark:
        return f"its items come from {source}, not from {benchmark}"
    if (run.judge.name, run.protocol.votes) != (pinned.judge, pinned.votes):
        return f"{benchmark} ranks results of the judge {pinned.judge} with {pinned.votes} votes"
    if run.protocol.version != pinned.task_version:
        return f"it is of version {run.protocol.version} of the task, and {benchmark} ranks {pinned.task_version}"
    return "" if run.covered else "no item has a verdict"


def _entry(one: Evaluation, value: float, repo: str, benchmark: str) -> EvalResultEntry:
    run, interval = one.run, one.run.interval("full_marks")
    assert interval is not None
    commit = (run.record.items_from or {}).get("commit")
    protocol = run.protocol
    notes = [
        "full marks in percent",
        f"95 % interval {100 * interval.low:.1f} to {100 * interval.high:.1f}",
        f"{run.covered} of {run.items} items with a verdict",
        f"judge {run.judge.name}, {protocol.votes} votes",
        f"{protocol.turns} {'turn' if protocol.turns == 1 else 'turns'}, best of {protocol.generations}",
        f"skillmix-tasks {protocol.version}",
    ]
    return EvalResultEntry(
        dataset_id=benchmark,
        task_id=run.task,
        value=round(100 * value, 2),
        dataset_revision=commit,
        date=datetime.datetime.fromtimestamp(run.date, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        source_url=f"https://huggingface.co/{repo}/blob/main/{one.folder}/samples.jsonl",
        source_name="Answers and verdicts",
        notes="; ".join(notes),
    )


def _entries_in(file: Path, where: str) -> list[EvalResultEntry]:
    try:
        return parse_eval_result_entries(load_yaml(read_text(file)))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UserError(
            f"{file.name} of {where} is not a list of results ({error!r}): correct or remove it there first."
        ) from error


def leaderboard_rows(models: Mapping[str, Path], benchmark: str, pinned: Pinned) -> list[Row]:
    """Rows of a report for files of results on the Hub's leaderboards; tasks that are not ours are left out."""
    tasks = bundled_tasks()
    rows = []
    for model, file in models.items():
        cells: dict[tuple[str, str, int], Cell] = {}
        for entry in _entries_in(file, model):
            spec = tasks.get(entry.task_id)
            value = entry.value
            if (
                entry.dataset_id == benchmark
                and spec
                and isinstance(value, int | float)
                and not isinstance(value, bool)
                and 0 <= value <= 100
            ):
                cells["full_marks", spec.split, spec.k] = Cell(value / 100, None, None, None, None, None, None)
        if cells:
            protocol = f"task version {pinned.task_version}, {pinned.votes} votes, as their publishers state"
            group = digest(["hub", benchmark, pinned.model_dump()])
            row = Row(
                id=digest([group, model]),
                source=f"published, the Hub's leaderboard of {benchmark}",
                student=model,
                name=model,
                judge=pinned.judge,
                protocol=protocol,
                pack=benchmark,
                group=group,
                cells=cells,
            )
            rows.append(row)
    return rows
