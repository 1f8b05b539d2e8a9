"""lm-eval's results of our tasks, prepared for publishing: one task and judge each, without facts of a machine.

    evaluation/skillmix_k4/gpt-5.4-2026-03-05/results.json    lm-eval's results JSON, of this task alone
    evaluation/skillmix_k4/gpt-5.4-2026-03-05/samples.jsonl   its samples, with every verdict
    evaluation/skillmix_k4/gpt-5.4-2026-03-05/calibration.json    the judge's calibration, where one was given

With another pack than the task's own the folder is skillmix_k4@PACK. A later evaluation of the same task, pack and
judge replaces the earlier one.
"""

from __future__ import annotations

import json
import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult

from grading import UserError
from grading.commands.words import listed
from grading.intervals import Interval, wilson
from grading.safety.bounds import load_json, read_text
from hub_cards.hub.files import File, open_within
from hub_cards.hub.publication import Remote
from hub_cards.hub.records import json_file, read_record
from hub_cards.hub.scrub import is_local, local_paths, public_name, scrub, scrub_model_args
from hub_cards.report.results.runs import Run, read_results
from hub_cards.report.results.tally import read_tally
from skillmix_tasks.calibration.record import Calibration, calibration_file, load_calibration
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.hub import config_of
from skillmix_tasks.stored.find_results import find_results
from skillmix_tasks.stored.record import RunRecord, task_record
from training.intervals import mean_interval

FOLDER = "evaluation"
_CALIBRATION = "calibration.json"
_SHARES = ("full_marks", "all_skills")  # of an item they are 0 or 1
_OF_THE_MACHINE = ("pretty_env_info", "git_hash", "upper_git_hash", "model_name_sanitized")
_BY_TASK = ("results", "configs", "versions", "n-shot", "higher_is_better", "n-samples", "task_hashes")


@dataclass(frozen=True)
class Evaluation:
    """One task of a results file: as it was read, and as it is published.

    `student` is the model's name in the results: its Hub id, or a path. `files` is empty if they are on the Hub
    already.
    """

    run: Run
    record: dict[str, Any]
    student: str = ""
    calibration: Calibration | None = None
    files: tuple[File, ...] = ()

    @property
    def folder(self) -> str:
        """Its path in the repository."""
        pack, judge = (re.sub(r"[^\w.-]+", "-", name) for name in (self.run.record.pack.id, self.run.judge.name))
        other = f"@{pack}" if pack != _pack_of(self.run.task, pack) else ""
        return f"{FOLDER}/{self.run.task}{other}/{judge}"

    @property
    def _published(self) -> RunRecord:
        record = task_record(self.record, self.run.task, self.run.source)
        assert record is not None
        return record

    @property
    def judge(self) -> dict[str, Any] | None:
        """The judge's settings."""
        return self._published.judge

    @property
    def dollars(self) -> float | None:
        """The cost of judging; None if a price is unknown."""
        return self.run.record.cost("dollars")

    def interval(self, metric: str) -> Interval | None:
        """The 95 % interval of a metric over the items with a verdict; None if no item has one."""
        score = self.run.scores[metric]
        if score is None:
            return None
        if metric in _SHARES:
            return wilson(round(score.value * self.run.covered), self.run.covered)
        return mean_interval(score.value, score.error or 0.0, self.run.covered)

    def check_samples(self) -> None:
        """Raise UserError, as the report does, unless the published samples are complete and give the scores."""
        for file in self.files:
            if file.path.endswith("/samples.jsonl"):
                read_tally(self.run, file.source)

    def results(self) -> list[EvalResult]:
        """Its metrics as a card's model-index has them."""
        run = self.run
        source = self._published.items_from or {}
        found = []
        for metric, score in run.scores.items():
            if score is None:
                continue
            interval = self.interval(metric)
            assert interval is not None
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
) -> list[Evaluation]:
    """The evaluations in results files, or in all below folders, by task, with the judges' `calibrations`.

    With `students`, only those of the model with one of these names. UserError if none is found, one has no
    samples or no verdicts, a link leads out of `within` (None: the folder of each path), two are of the same task
    and judge, or a calibration is of none of the judges.
    """
    known = {path: load_calibration(path) for path in map(calibration_file, calibrations)}
    used = set()
    found: dict[str, Evaluation] = {}
    for file, root in results_within(paths, within):
        runs, unjudged = read_results(file)
        if unjudged:
            raise UserError(
                f"{file} has answers to {', '.join(unjudged)} that were not judged: run "
                f"`skillmix grade {file.parent}`."
            )
        record = read_record(file, "`skillmix eval`")
        for run in runs:
            one = Evaluation(run, _public(record, run.task), _student(run))
            if students and not {one.student, run.student.name} & set(students):
                continue
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
    for path in known.keys() - used:
        raise UserError(
            f"{path} is the calibration of {known[path].name}, which did not judge these results: model, "
            "parameters, prompt and votes must be the same."
        )
    return sorted(found.values(), key=lambda one: (one.run.record.split, one.run.record.k, one.folder))


def results_within(paths: Sequence[Path], within: Path | None = None) -> Iterator[tuple[Path, Path]]:
    """The results files that `paths` name or hold, each with the folder that no link beside it may lead out of.

    Raises UserError if a file in a folder is a link out of it. A file that is named may be a link.
    """
    seen = set()
    for path in paths:
        for found in find_results([str(path)]):
            root = within or (path if path.is_dir() else found.path.parent)
            if within is not None or path.is_dir():
                open_within(root, found.path)
            if found.path.resolve() not in seen:
                seen.add(found.path.resolve())
                yield found.path, root


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


def merged(new: Sequence[Evaluation], old: Sequence[Evaluation]) -> list[Evaluation]:
    """The new evaluations, and the old ones that none of them replaces."""
    by_folder = {one.folder: one for one in (*old, *new)}
    return sorted(by_folder.values(), key=lambda one: (one.run.record.split, one.run.record.k, one.folder))


def other_students(paths: Sequence[Path], names: Sequence[str]) -> list[str]:
    """The students in results files, or in all below folders, that are not the model with one of these names.

    UserError, with the students that there are, if none of them is this model.
    """
    runs = [run for file, _ in results_within(paths) for run in read_results(file)[0]]
    names_of = {run.student.name: {run.student.name, _student(run)} for run in runs}
    others = [name for name, known in names_of.items() if not known & set(names)]
    if others and len(others) == len(names_of):
        which = "that" if len(others) == 1 else "one of them"
        raise UserError(
            f"{' '.join(map(str, paths))} has the results of {listed(others)}, not of {names[0]}: if {which} is "
            f"this model, type --student {shlex.quote(others[0])}"
            f"{'' if len(others) == 1 else ' or another of these names'}."
        )
    return others


@cache
def _pack_of(task: str, default: str) -> str:
    """The pack of a task of ours; `default` for another task."""
    spec = bundled_tasks().get(task)
    return spec.pack if spec else default


def _student(run: Run) -> str:
    student = run.record.student
    return str(student.get("peft") or student["model"])


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
    paths = set(local_paths(record)) | _local_arguments(record)
    return (
        File(f"{one.folder}/results.json", json_file(one.record)),
        File(f"{one.folder}/samples.jsonl", _samples_without(samples, paths)),
    )


def _local_arguments(record: dict[str, Any]) -> set[str]:
    """The paths in model arguments that are one text."""
    given = record.get("config", {}).get("model_args")
    parts = given.split(",") if isinstance(given, str) else []
    return {value for part in parts if is_local(value := part.partition("=")[2])}


def _samples_without(samples: Path, paths: set[str]) -> Path | bytes:
    """The samples, with the paths of models in the verdicts cut to names."""
    if not paths:
        return samples
    text = samples.read_text(encoding="utf-8")
    for path in sorted(paths, key=len, reverse=True):
        text = text.replace(json.dumps(path)[1:-1], public_name(path))
    return text.encode()
