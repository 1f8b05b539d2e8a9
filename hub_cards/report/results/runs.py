"""lm-eval's results files of our tasks as typed records: who was asked what, by which rules, judged by whom."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grading import UserError
from grading.errors import first_fault
from grading.safety.bounds import load_json, read_text
from hub_cards.report.results.parties import Party, digest, judge_of, student_of
from hub_cards.report.results.samples import known_state
from skillmix_tasks.items.pack import Split
from skillmix_tasks.scoring.metrics import METRICS
from skillmix_tasks.stored.output_files import samples_of


class PackRecord(BaseModel):
    """Which version of which pack."""

    id: str
    version: str
    hash: str


class Controls(BaseModel):
    """How many of the pack's control answers the judge got right, and which not."""

    passed: int = Field(ge=0)
    of: int = Field(ge=1)
    failed: list[str]


class Protocol(BaseModel):
    """The rules of a run. Scores under different rules are not comparable."""

    model_config = ConfigDict(frozen=True)

    version: str
    turns: int
    generations: int
    votes: int
    seed: int
    drop_common: bool
    ungrounded: str
    sampling: str

    def text(self) -> str:
        """In words; what is as usual is left out."""
        usual = (
            f"{_many(self.turns, 'turn')}, {_many(self.generations, 'generation')}, {_many(self.votes, 'vote')}"
        )
        words = [usual, f"task version {self.version}", self.sampling]
        words += ["items without very common skills"] if self.drop_common else []
        words += [f"grants without a true quote count as {self.ungrounded.replace('_', ' ')}"]
        words += [f"items of seed {self.seed}"] if self.seed else []
        return "; ".join(words)


class _Ungrounded(BaseModel):
    rule: str
    points: int
    judged_points: int


class _Record(BaseModel):
    """What a task of ours puts under metadata.skillmix (skillmix_tasks.harness.task)."""

    k: int = Field(ge=1)
    split: Split
    pack: PackRecord
    turns: int
    generations: int
    seed: int
    drop_common: bool
    judge: dict[str, Any] | None
    grading: dict[str, Any] | None
    controls: Controls | None
    points_without_verdict: dict[Annotated[str, AfterValidator(known_state)], int]
    ungrounded: _Ungrounded | None
    student: dict[str, Any]


@dataclass(frozen=True)
class Score:
    """A metric's mean over the items with a verdict, with its standard error where lm-eval gives one."""

    value: float
    error: float | None


@dataclass(frozen=True)
class Run:
    """One task of one results file. `items` were asked; the scores are None where no item has a verdict.

    `low` and `high` bound full marks, whatever the missing verdicts are. `samples` is the file of its answers if
    it is there. `spent` has prompt_tokens, completion_tokens and dollars (None: price not known) of all its
    votes, stored ones included; `seconds` is the time of all tasks of the file together.
    """

    source: Path
    samples: Path | None
    date: float
    task: str
    k: int
    split: Split
    student: Party
    judge: Party
    judge_record: dict[str, Any]
    protocol: Protocol
    pack: PackRecord
    items: int
    scores: dict[str, Score | None]
    coverage: float
    low: float
    high: float
    states: dict[str, int]
    ungrounded: tuple[int, int]
    controls: Controls | None
    spent: dict[str, float | None]
    seconds: float | None

    @property
    def group(self) -> str:
        """What scores must share to be ranked together: judge, protocol and pack."""
        return digest([self.judge.key, self.protocol.model_dump(), self.pack.model_dump()])

    @property
    def covered(self) -> int:
        """The items that have a verdict."""
        return round(self.coverage * self.items)


def read_results(path: Path, label: str | None = None) -> tuple[list[Run], list[str]]:
    """The runs of our tasks in a results file, and the names of tasks whose answers were not judged.

    `label` is what the student is called. Other tasks are left out. UserError if the file cannot be understood.
    """
    try:
        data = load_json(read_text(path))
        configs = data["configs"]
        found = [name for name in configs if "skillmix" in (configs[name].get("metadata") or {})]
        judged = [name for name in found if configs[name]["metadata"]["skillmix"]["judge"] is not None]
        runs = [_run(path, data, name, label) for name in judged]
    except (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        if isinstance(error, ValidationError):
            reason = str(first_fault(error))
        else:
            reason = f"{type(error).__name__}: {error}"
        raise UserError(
            f"{path} is no results file of a SKILL-MIX run ({reason}): name what `skillmix eval --output_path` "
            "wrote."
        ) from error
    return runs, [name for name in found if name not in judged]


def _run(path: Path, data: dict[str, Any], task: str, label: str | None) -> Run:
    config, scores = data["configs"][task], data["results"][task]
    record = _Record.model_validate(config["metadata"]["skillmix"])
    assert record.judge is not None
    sampling = {"arguments": config.get("generation_kwargs"), "system": data.get("system_instruction")}
    student = student_of(record.student, label)
    spent = (record.grading or {}).get("spent", {})
    saved = (record.grading or {}).get("saved", {})
    names = ("prompt_tokens", "completion_tokens", "dollars")
    return Run(
        source=path,
        samples=samples_of(path, task),
        date=_number(data.get("date") or 0, "date"),
        task=task,
        k=record.k,
        split=record.split,
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
            sampling=_sampling(sampling),
        ),
        pack=record.pack,
        items=int(_number(scores["sample_len"], "sample_len")),
        scores={metric: _score(scores, metric) for metric in METRICS},
        coverage=_share(scores["coverage,none"], "coverage"),
        low=_share(scores["full_marks_low,none"], "full_marks_low"),
        high=_share(scores["full_marks_high,none"], "full_marks_high"),
        states=record.points_without_verdict,
        ungrounded=(record.ungrounded.points, record.ungrounded.judged_points) if record.ungrounded else (0, 0),
        controls=record.controls,
        spent={name: _sum(spent.get(name), saved.get(name)) for name in names},
        seconds=_seconds(data.get("total_evaluation_time_seconds")),
    )


def _sampling(record: dict[str, Any]) -> str:
    arguments = dict(record["arguments"] or {})
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


def _sum(one: float | None, other: float | None) -> float | None:
    return None if one is None or other is None else _number(one, "spent") + _number(other, "saved")


def _seconds(text: str | None) -> float | None:
    return None if text is None else _number(float(text), "total_evaluation_time_seconds")


def _share(value: Any, name: str) -> float:
    if not 0 <= (number := _number(value, name)) <= 1:
        raise ValueError(f"{name} is {number:g}, and a share lies between 0 and 1")
    return number


def _number(value: Any, name: str) -> float:
    """A number from a file; ValueError if it is NaN, infinite or negative."""
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}")
    return float(value)


def _many(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
