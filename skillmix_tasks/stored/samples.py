"""lm-eval's samples files of our tasks, read one line at a time: a file may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from io import BytesIO
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import AfterValidator, BaseModel, Field, TypeAdapter, ValidationError, model_validator

from grading import UserError
from grading.errors import first_fault
from grading.safety.bounds import readable
from skillmix_tasks.items.pack import Split
from skillmix_tasks.scoring.losses import Loss
from skillmix_tasks.scoring.metrics import Scores
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC
from skillmix_tasks.stored.record import known_state

_State = Annotated[str, AfterValidator(known_state)]
_Share = Annotated[float, Field(ge=0, le=1)]


class _Message(BaseModel):
    content: str


_MESSAGES = TypeAdapter(list[_Message])


class Named(BaseModel):
    """A skill or a topic; a topic has no category."""

    id: str
    name: str
    category: str = ""
    definition: str = ""


class Document(BaseModel):
    """An item; of a private pack without its skills and its topic."""

    index: int
    item: str
    hash: str
    k: int
    split: Split
    skills: list[Named] = []
    topic: Named | None = None


class MarkRecord(BaseModel):
    """A vote's decision on a point."""

    earned: bool | None
    evidence: str
    state: _State


class VoteRecord(BaseModel):
    """One vote; without marks `detail` or `reply` hold the reason."""

    number: int
    judge: str
    state: _State
    marks: dict[str, MarkRecord]
    detail: str = ""
    reply: str = ""


class Generation(BaseModel):
    """One judged answer, see skillmix_tasks.scoring.points."""

    answer: str
    sentences: int
    void: str | None
    lost_in_code: dict[str, Loss]
    points: dict[str, bool | None]
    states: dict[str, _State]
    votes: list[VoteRecord]

    @cached_property
    def split_points(self) -> list[str]:
        """The points on which the votes that marked them do not agree."""
        return [point for point, earned in self._marks.items() if True in earned and False in earned]

    @property
    def voted_points(self) -> list[str]:
        """The points that two votes or more have marked."""
        return [point for point, earned in self._marks.items() if len(earned) > 1]

    @cached_property
    def _marks(self) -> dict[str, list[bool]]:
        """The decisions of the votes on each point."""
        found: dict[str, list[bool]] = {point: [] for point in self.points}
        for vote in self.votes:
            for point, mark in vote.marks.items():
                if mark.earned is not None and point in found:
                    found[point].append(mark.earned)
        return found


class Sample(BaseModel):
    """One item with its answers and its scores, which are NaN without a verdict."""

    doc: Document
    arguments: dict[str, Any] = {}
    resps: list[list[str]]
    filtered_resps: list[str]
    coverage: float
    full_marks: float
    all_skills: float
    skill_fraction: float
    full_marks_low: _Share
    full_marks_high: _Share

    @model_validator(mode="after")
    def _check(self) -> Self:
        scores = (self.full_marks, self.all_skills, self.skill_fraction)
        if self.coverage not in (0, 1):
            raise ValueError("coverage is neither 0 nor 1")
        if self.coverage and not all(0 <= score <= 1 for score in scores):
            raise ValueError("an item with a verdict has a score that is not a share")
        if not self.filtered_resps or len(self.filtered_resps) != len(self.resps):
            raise ValueError("there are not as many judged answers as answers")
        if self.doc.skills and len(self.doc.skills) != self.doc.k:
            raise ValueError("the item does not have k skills")
        return self

    @property
    def scores(self) -> Scores | None:
        """The item's three metrics; None without a verdict."""
        known = Scores(self.full_marks, self.all_skills, self.skill_fraction)
        return known if self.coverage == 1 else None

    @property
    def prompt(self) -> str:
        """The student's first prompt, if the file has it; empty for a private pack."""
        first = next(iter(self.arguments.values()), None) if self.doc.skills else None
        text = first.get("arg_0", "") if isinstance(first, dict) else ""
        text = text[0] if isinstance(text, list) and text else text
        if not isinstance(text, str):
            return ""
        try:
            messages = _MESSAGES.validate_json(text)
        except ValidationError:
            return text  # of a model without a chat template, or rendered by one
        return "\n\n".join(one.content for one in messages)

    def generations(self) -> list[Generation]:
        """The judged answers, in order; ValidationError if one is invalid, or lacks a point."""
        found = [Generation.model_validate_json(text) for text in self.filtered_resps]
        points = {*(f"s{number}" for number in range(1, self.doc.k + 1)), TOPIC, SENSE, LENGTH}
        for generation in found:
            if generation.points.keys() != points:
                raise ValueError("a judged answer has other points than its item")
        return found


def kind_of(point: str) -> str:
    """The kind of a point: a skill's, or one of the other three by name."""
    return point if point in (TOPIC, SENSE, LENGTH) else "skill"


def read_samples(source: Path | bytes, name: Path) -> Iterator[tuple[Sample, list[Generation]]]:
    """The samples of a file, or in its content, with their judged answers; UserError for an invalid line.

    `name` is the file's name in the error.
    """
    with readable(source) if isinstance(source, Path) else BytesIO(source) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                sample = Sample.model_validate_json(line)
                generations = sample.generations()
            except ValueError as error:
                reason = first_fault(error) if isinstance(error, ValidationError) else error
                raise UserError(
                    f"Line {number} of {name} is not a sample of a judged SKILL-MIX task ({reason}): if the file "
                    "was truncated, remove it to report the results without its answers, or run the task again."
                ) from error
            yield sample, generations
