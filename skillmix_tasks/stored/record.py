"""A task's record in lm-eval's results: written by the task, read by all readers of results.

{"configs": {"skillmix_k4": {"metadata": {"version": "1.0", "skillmix": RECORD}}}}
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, Field, ValidationError

from grading import State, UserError
from grading.errors import first_fault
from grading.safety.bounds import load_json, read_text
from skillmix_tasks.checks.extract import ExtractionState
from skillmix_tasks.items.pack import Lists, Split
from skillmix_tasks.scoring.controls import Controls
from skillmix_tasks.scoring.reply import NO_ANSWER, AnswerState

_STATES = frozenset(State) | {NO_ANSWER}  # checked for each mark of each vote of a report


def known_state(state: str) -> str:
    """A state of a vote or a point, as it is; ValueError for one that this release does not know."""
    if state not in _STATES:
        raise ValueError(f"the state {state!r} is not known to this release, and may be of a newer one")
    return state


def number(value: Any, name: str) -> float:
    """A number from a file; ValueError if it is NaN, infinite or negative."""
    if not isinstance(value, int | float) or not 0 <= value < math.inf:
        raise ValueError(f"{name} is {value!r}")
    return float(value)


def _known_costs(grading: dict[str, Any]) -> dict[str, Any]:
    for name in ("spent", "saved"):
        for value in grading.get(name, {}).values():
            if value is not None:
                number(value, name)
    return grading


class PackRecord(BaseModel):
    """Which version of which pack; `lists` says if its skills and topics are a paper's."""

    id: str
    version: str
    hash: str
    lists: Lists | None = None

    @property
    def name(self) -> str:
        """The pack for people: "language 2.0"."""
        return f"{self.id} {self.version}"


class Ungrounded(BaseModel):
    """Grants without a true quote: the rule, their number, and the number of judged points."""

    rule: str
    points: int
    judged_points: int
    share: float | None = None


class Answers(BaseModel):
    """The student's answers, by state; docs/students.md says which have a score.

    `extractions` counts how the visible ones were found in their replies (docs/checks.md). `cut` of the answered
    ones ended at the token limit. `reasoned` came after reasoning, which took so many `reasoning_tokens`: None if
    the student did not say for all.
    """

    states: dict[AnswerState, int]
    extractions: dict[ExtractionState, int] = {}
    cut: int = 0
    reasoned: int = 0
    reasoning_tokens: int | None = None

    @property
    def total(self) -> int:
        return sum(self.states.values())

    @property
    def unanswered(self) -> dict[AnswerState, int]:
        """The states but ANSWERED, the most frequent first."""
        others = {
            state: count for state, count in self.states.items() if count and state is not AnswerState.ANSWERED
        }
        return dict(sorted(others.items(), key=lambda one: -one[1]))

    def share(self, count: int) -> float:
        """Of all answers."""
        return count / self.total if self.total else 0.0

    def line(self) -> str:
        """Unusual facts in words: "cut_off 3 %, reasons with 812 tokens an answer"; "" if nothing is."""
        parts = [f"{state} {self.share(count):.1%}" for state, count in self.unanswered.items()]
        guessed = self.extractions.get(ExtractionState.GUESSED, 0)
        parts += [f"end of the answer guessed {self.share(guessed):.1%}"] if guessed else []
        parts += [f"ended at the limit {self.share(self.cut):.1%}"] if self.cut else []
        if self.reasoned:
            tokens = (
                ""
                if self.reasoning_tokens is None
                else f" with {self.reasoning_tokens / self.reasoned:,.0f} tokens an answer"
            )
            parts.append(f"reasons{tokens}")
        return ", ".join(parts)


class RunRecord(BaseModel):
    """The protocol of a task's run, its judge, and the cost of grading.

    `judge` is a panel's record (grading.panel), None where nothing was judged; `grading` the sum of the graders'
    (grading.cost.stats); `items_from` the data set that the items came from, with its commit; `sampling` the
    student's real sampling. Results of earlier releases have no `answers` and no `sampling`.
    """

    k: int = Field(ge=1)
    split: Split
    pack: PackRecord
    turns: int
    generations: int
    items_from: dict[str, str] | None = None
    seed: int
    drop_common: bool
    splitters: dict[str, str] = {}
    judge: dict[str, Any] | None
    grading: Annotated[dict[str, Any], AfterValidator(_known_costs)] | None
    controls: Controls | None
    points_without_verdict: dict[Annotated[str, AfterValidator(known_state)], int]
    ungrounded: Ungrounded | None
    student: dict[str, Any]
    answers: Answers | None = None
    sampling: dict[str, Any] | None = None

    def cost(self, name: str) -> float | None:
        """Tokens or dollars (`name`) of all votes, stored ones included; None if unknown."""
        grading = self.grading or {}
        spent, saved = (grading.get(part, {}).get(name) for part in ("spent", "saved"))
        return None if spent is None or saved is None else float(spent + saved)


def judge_identity(judge: dict[str, Any]) -> dict[str, Any]:
    """A judge's record without its refused parameters and its shutdown date, which may differ between runs."""
    kept = {name: value for name, value in judge.items() if name not in ("shutdown", "refused_parameters")}
    if "panel" in kept:
        kept["panel"] = [judge_identity(member) for member in kept["panel"]]
    return kept


def task_record(results: Any, task: str, source: object) -> RunRecord | None:
    """The record of a task in lm-eval's `results`; None if the task is not ours.

    Raises UserError, which calls the results `source`, if they are damaged or of a newer release.
    """
    try:
        own = (results["configs"][task].get("metadata") or {}).get("skillmix")
        return None if own is None else RunRecord.model_validate(own)
    except (ValidationError, KeyError, TypeError, AttributeError) as error:
        raise no_results(source, error) from error


def read_records(path: Path) -> tuple[dict[str, Any], dict[str, RunRecord]]:
    """lm-eval's results in a file, and the records of our tasks in it; UserError if it cannot be understood."""
    try:
        data: dict[str, Any] = load_json(read_text(path))
        records = {name: task_record(data, name, path) for name in data["configs"]}
    except (OSError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise no_results(path, error) from error
    return data, {name: record for name, record in records.items() if record is not None}


def no_results(source: object, error: Exception) -> UserError:
    """The error for results that cannot be understood because of `error`."""
    match error:
        case ValidationError():
            reason = str(first_fault(error))
        case KeyError():
            reason = f"it lacks {error.args[0]!r}"
        case json.JSONDecodeError():
            reason = f"it is cut short, or no JSON, at character {error.pos + 1:,}"
        case OSError():
            reason = error.strerror or "it cannot be read"
        case ValueError() | OverflowError():
            reason = str(error)
        case _:
            reason = "its parts are of another form"
    return UserError(
        f"{source} is not a results file of a SKILL-MIX run ({reason}): name a file that `skillmix eval --out` "
        "wrote."
    )
