"""lm-eval's results of our tasks, prepared for publishing: one task and judge each, without facts of a machine.

    evaluation/skillmix_k4/gpt-5.4-2026-03-05/results.json    lm-eval's results JSON, of this task alone
    evaluation/skillmix_k4/gpt-5.4-2026-03-05/samples.jsonl   its samples, with every verdict
    evaluation/skillmix_k4/gpt-5.4-2026-03-05/calibration.json    the judge's calibration, where one was given

With another pack than the task's own the folder is skillmix_k4@PACK. A later evaluation of the same task, pack and
judge replaces the earlier one.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from grading import UserError
from grading.commands.words import listed
from grading.safety.bounds import load_json, read_text
from hub_cards.hub.files import File, open_within
from hub_cards.hub.publication import Remote
from hub_cards.hub.records import json_file, read_record
from hub_cards.hub.scrub import is_local, local_paths, scrub, scrub_model_args, without_paths
from hub_cards.report.results.runs import Run, read_results
from hub_cards.report.results.tally import read_tally
from skillmix_tasks.calibration.record import Calibration, calibration_file, load_calibration
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.hub import config_of
from skillmix_tasks.stored.find_results import Found, find_results
from skillmix_tasks.stored.record import RunRecord, task_record

FOLDER = "evaluation"
_CALIBRATION = "calibration.json"
_OF_THE_MACHINE = ("pretty_env_info", "git_hash", "upper_git_hash", "model_name_sanitized")
_BY_TASK = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes")


@dataclass(frozen=True)
class Evaluation:
    """One task of a results file: as it was read, and as it is published.

    `files` is empty if they are on the Hub already.
    """

    run: Run
    record: dict[str, Any]
    calibration: Calibration | None = None
    files: tuple[File, ...] = ()

    @property
    def folder(self) -> str:
        """Its path in the repository."""
        pack, judge = (re.sub(r"[^\w.-]+", "-", name) for name in (self.run.record.pack.id, self.run.judge.name))
        other = f"@{pack}" if pack != _pack_of(self.run.task, pack) else ""
        return f"{FOLDER}/{self.run.task}{other}/{judge}"

    @property
    def published(self) -> RunRecord:
        """The record as it is published."""
        record = task_record(self.record, self.run.task, self.run.source)
        assert record is not None
        return record

    def check_samples(self) -> None:
        """Raise UserError, as the report does, unless the published samples are complete and give the scores."""
        for file in self.files:
            if file.path.endswith("/samples.jsonl"):
                read_tally(self.run, file.source)

    def results(self) -> list[EvalResult]:
        """Its metrics as a card's model-index has them."""
        run = self.run
        source = self.published.items_from or {}
        found = []
        for metric, score in run.scores.items():
            interval = run.interval(metric)
            if score is None or interval is None:
                continue
            found.append(
                EvalResult(
                    task_type="text-generation",
                    task_name=f"SKILL-MIX, k = {run.record.k}",
                    dataset_type=source.get("path", "skillmix"),
                    dataset_name=f"SKILL-MIX ({run.record.pack.name}, {run.record.split})",
                    dataset_config=config_of(run.task),
                    dataset_split="test",
                    dataset_revision=source.get("commit"),
                    metric_type=metric,
                    metric_name=metric.replace("_", " "),
                    metric_value=score.value,
                    metric_args={
                        "interval_95": [round(interval.low, 4), round(interval.high, 4)],
                        "items": run.items,
                        "coverage": run.coverage,
                        "judge": run.judge.name,
                        "votes": run.protocol.votes,
                        "turns": run.protocol.turns,
                        "task_version": run.protocol.version,
                    },
                )
            )
        return found


def read_evaluations(
    paths: Sequence[Path],
    calibrations: Sequence[Path] = (),
    *,
    students: Sequence[str] = (),
    within: Path | None = None,
) -> tuple[list[Evaluation], list[str]]:
    """The evaluations in results files, or in all below folders, by task, with the judges' `calibrations`.

    With `students`, only those of the model with one of these names; the names of the others come second.
    UserError if none is found, one has no samples or no verdicts, a link leads out of `within` (None: the folder
    of each path), two are of the same task and judge, or a calibration is of none of the judges.
    """
    known = {path: load_calibration(path) for path in map(calibration_file, calibrations)}
    used = set()
    found: dict[str, Evaluation] = {}
    others: list[str] = []
    for one_file, root in results_within(paths, within):
        file = one_file.path
        runs, unjudged = read_results(file, one_file.label)
        if unjudged:
            raise UserError(
                f"{file} has answers to {', '.join(unjudged)} that were not judged: run "
                f"`skillmix grade {file.parent}`."
            )
        record = read_record(file, "`skillmix eval`")
        for run in runs:
            student = run.record.student
            names = {run.student.name, str(student.get("peft") or student["model"])}
            if students and names.isdisjoint(students):
                others += [run.student.name] if run.student.name not in others else []
                continue
            one = Evaluation(run, _public(record, run.task))
            if one.folder in found:
                raise UserError(
                    f"{found[one.folder].run.source} and {file} are both of {run.task}, the pack "
                    f"{run.record.pack.id} and the judge {run.judge.name}: name the one to publish."
                )
            path = next((path for path, calibration in known.items() if calibration.is_of(run.judge_record)), None)
            files = _files(one, record, root)
            if path is not None:
                used.add(path)
                calibration = scrub(load_json(read_text(path)))
                files = (*files, File(f"{one.folder}/{_CALIBRATION}", json_file(calibration)))
                one = replace(one, calibration=Calibration.model_validate(calibration))
            found[one.folder] = replace(one, files=files)
    if others and not found:
        which = "that" if len(others) == 1 else "one of them"
        raise UserError(
            f"{' '.join(map(str, paths))} has the results of {listed(others)}, not of {students[0]}: if {which} "
            f"is this model, type --student {shlex.quote(others[0])}"
            f"{'' if len(others) == 1 else ' or another of these names'}."
        )
    for path in known.keys() - used:
        raise UserError(
            f"{path} is the calibration of {known[path].name}, which did not judge these results: model, "
            "parameters, prompt and votes must be the same."
        )
    return merged(found.values(), ()), others


def results_within(paths: Sequence[Path], within: Path | None = None) -> Iterator[tuple[Found, Path]]:
    """The results files that `paths` name or hold, each with the folder that no link beside it may lead out of.

    A path may be NAME=PATH, with a name for the student.

    Raises UserError if a file in a folder is a link out of it. A file that is named may be a link.
    """
    seen = set()
    for path in paths:
        for found in find_results([str(path)]):
            given = Path(str(path).partition("=")[2]) if found.label else path
            root = within or (given if given.is_dir() else found.path.parent)
            if within is not None or given.is_dir():
                open_within(root, found.path)
            if found.path.resolve() not in seen:
                seen.add(found.path.resolve())
                yield found, root


def published_evaluations(remote: Remote) -> list[Evaluation]:
    """The evaluations that are in a repository."""
    found = []
    for path in remote.files:
        if path.startswith(f"{FOLDER}/") and path.endswith("/results.json"):
            file = remote.fetch(path)
            record = read_record(file, "`skillmix push results`")
            own = path.replace("/results.json", f"/{_CALIBRATION}")
            calibration = load_calibration(remote.fetch(own)) if own in remote.files else None
            found += [Evaluation(run, record, calibration=calibration) for run in read_results(file)[0]]
    return found


def unreplaced_files(remote: Remote, new: Sequence[Evaluation]) -> tuple[str, ...]:
    """The files of a repository except those that the new evaluations replace."""
    replaced = tuple(f"{one.folder}/" for one in new)
    return tuple(path for path in remote.files if not path.startswith(replaced))


def merged(new: Iterable[Evaluation], old: Iterable[Evaluation]) -> list[Evaluation]:
    """The new evaluations, and the old ones that none of them replaces, by task."""
    by_folder = {one.folder: one for one in (*old, *new)}
    return sorted(by_folder.values(), key=lambda one: (one.run.record.split, one.run.record.k, one.folder))


@cache
def _pack_of(task: str, default: str) -> str:
    """The pack of a task of ours; `default` for another task."""
    spec = bundled_tasks().get(task)
    return spec.pack if spec else default


def _public(record: dict[str, Any], task: str) -> dict[str, Any]:
    kept = {name: value for name, value in record.items() if name not in _OF_THE_MACHINE}
    for name in _BY_TASK:
        if isinstance(kept.get(name), dict):
            kept[name] = {task: kept[name][task]} if task in kept[name] else {}
    kept.pop("groups", None)
    kept.pop("group_subtasks", None)
    arguments = scrub_model_args(record.get("config", {}).get("model_args"))
    public: dict[str, Any] = scrub(kept)
    public["config"]["model_args"] = arguments
    return public


def _files(one: Evaluation, record: dict[str, Any], root: Path) -> tuple[File, ...]:
    if one.run.samples is None:
        raise UserError(
            f"The samples of {one.run.task} are not beside {one.run.source}: evaluate with --log_samples, because "
            "a score without its verdicts cannot be checked."
        )
    samples = open_within(root, one.run.samples)
    paths = {*local_paths(record), *_local_arguments(record)}  # of models, in the verdicts
    return (
        File(f"{one.folder}/results.json", json_file(one.record)),
        File(f"{one.folder}/samples.jsonl", without_paths(samples, paths)),
    )


def _local_arguments(record: dict[str, Any]) -> set[str]:
    """The paths in model arguments that are one text."""
    given = record.get("config", {}).get("model_args")
    parts = given.split(",") if isinstance(given, str) else []
    return {value for part in parts if is_local(value := part.partition("=")[2])}
