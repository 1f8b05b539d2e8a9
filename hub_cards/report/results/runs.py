"""lm-eval's results files of our tasks as typed records: student, task, protocol and judge."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from grading.commands.words import many
from grading.intervals import Interval, wilson
from hub_cards.report.results.parties import Party, digest, judge_of, student_of
from skillmix_tasks.scoring.metrics import METRICS
from skillmix_tasks.stored.find_results import samples_of
from skillmix_tasks.stored.record import RunRecord, no_results, number, read_records
from training.intervals import mean_interval


class Protocol(BaseModel, frozen=True):
    """The rules of a run. Scores under different rules are not comparable."""

    version: str
    turns: int
    generations: int
    votes: int
    seed: int
    drop_common: bool
    ungrounded: str
    sampling: str

    def text(self) -> str:
        """In words; defaults are left out."""
        usual = f"{many(self.turns, 'turn')}, {many(self.generations, 'generation')}, {many(self.votes, 'vote')}"
        words = [usual, f"task version {self.version}", self.sampling]
        words += ["items without very common skills"] if self.drop_common else []
        words += [f"grants without a true quote count as {self.ungrounded.replace('_', ' ')}"]
        words += [f"items of seed {self.seed}"] if self.seed else []
        return "; ".join(words)


@dataclass(frozen=True)
class Score:
    """A metric's mean over the items with a verdict, with its standard error where lm-eval gives one."""

    value: float
    error: float | None


@dataclass(frozen=True)
class Run:
    """One task of one results file. `items` were asked; the scores are None where no item has a verdict.

    `low` and `high` bound full marks, whatever the missing verdicts are. `samples` is the file of its answers if
    it exists. `spent` has prompt_tokens, completion_tokens and dollars (None: price not known) of all its
    votes, stored ones included; `seconds` is the time of all tasks of the file together.
    """

    source: Path
    samples: Path | None
    date: float
    task: str
    record: RunRecord
    student: Party
    judge: Party
    judge_record: dict[str, Any]
    protocol: Protocol
    items: int
    scores: dict[str, Score | None]
    coverage: float
    low: float
    high: float
    seconds: float | None

    @property
    def group(self) -> str:
        """The fields that scores must share to be ranked together: judge, protocol and pack."""
        return digest([self.judge.key, self.protocol.model_dump(), self.record.pack.model_dump()])

    @property
    def covered(self) -> int:
        """The items that have a verdict."""
        return round(self.coverage * self.items)

    def interval(self, metric: str) -> Interval | None:
        """The 95 % interval of a metric over the items with a verdict; None if no item has one."""
        score = self.scores[metric]
        if score is None:
            return None
        if metric != "skill_fraction":  # yes/no scores: their number suffices
            return wilson(round(score.value * self.covered), self.covered)
        return mean_interval(score.value, score.error or 0.0, self.covered)


def read_results(path: Path, label: str | None = None) -> tuple[list[Run], list[str]]:
    """The runs of our tasks in a results file, and the names of tasks whose answers were not judged.

    `label` is the student's name. Other tasks are left out. UserError if the file cannot be understood.
    """
    data, found = read_records(path)
    judged = [name for name, record in found.items() if record.judge is not None]
    try:
        runs = [_run(path, data, name, found[name], label) for name in judged]
    except (ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise no_results(path, error) from error
    return runs, [name for name in found if name not in judged]


def _run(path: Path, data: dict[str, Any], task: str, record: RunRecord, label: str | None) -> Run:
    config, scores = data["configs"][task], data["results"][task]
    assert record.judge is not None
    sampling = {"arguments": config.get("generation_kwargs"), "system": data.get("system_instruction")}
    student = student_of(record.student, label)
    return Run(
        source=path,
        samples=samples_of(path, task),
        date=number(data.get("date") or 0, "date"),
        task=task,
        record=record,
        student=student,
        judge=judge_of(record.judge),
        judge_record=record.judge,
        protocol=Protocol(
            version=str(config["metadata"]["version"]),
            turns=record.turns,
            generations=record.generations,
            votes=record.judge["votes"],
            seed=record.seed,
            drop_common=record.drop_common,
            ungrounded=record.ungrounded.rule if record.ungrounded else "no_verdict",
            sampling=_sampling(sampling, record.sampling),
        ),
        items=int(number(scores["sample_len"], "sample_len")),
        scores={metric: _score(scores, metric) for metric in METRICS},
        coverage=_share(scores["coverage,none"], "coverage"),
        low=_share(scores["full_marks_low,none"], "full_marks_low"),
        high=_share(scores["full_marks_high,none"], "full_marks_high"),
        seconds=_seconds(data.get("total_evaluation_time_seconds")),
    )


def _sampling(record: dict[str, Any], used: dict[str, Any] | None) -> str:
    arguments = dict(record["arguments"] or {})
    if used is not None:
        usual = {"top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0}
        own = {name: value for name, value in used.items() if usual.get(name, object()) != value}
        arguments = {
            name: own[name] for name in sorted(own) if name not in ("max_tokens", "seeded", "reasoning_tokens")
        }
        arguments["max_gen_toks"] = used.get("max_tokens")
    temperature = arguments.pop("temperature", None) if arguments.pop("do_sample", True) else 0
    words = f"temperature {temperature}" if temperature is not None else "the model's own temperature"
    tokens = arguments.pop("max_gen_toks", None)
    words += f", at most {tokens} tokens" if tokens else ""
    rest = {name: value for name, value in arguments.items() if value not in ([], None)}
    words += f", {json.dumps(rest, sort_keys=True)}" if rest else ""
    return words + (f", system prompt {digest(record['system'])}" if record["system"] else "")


def _score(scores: dict[str, Any], metric: str) -> Score | None:
    value, error = scores[f"{metric},none"], scores.get(f"{metric}_stderr,none")
    # lm-eval writes NaN for the score of no item, and for an error that is not known.
    if not scores["coverage,none"] and (value is None or value != value):
        return None
    if not isinstance(error, float | int) or not math.isfinite(error):
        error = None
    return Score(_share(value, metric), error)


def _seconds(text: str | None) -> float | None:
    return None if text is None else number(float(text), "total_evaluation_time_seconds")


def _share(value: Any, name: str) -> float:
    if not 0 <= (share := number(value, name)) <= 1:
        raise ValueError(f"{name} is {share:g}, and a share lies between 0 and 1")
    return share
