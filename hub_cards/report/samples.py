"""lm-eval's samples files of our tasks, read one line at a time: a file may be larger than the memory."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

from pydantic import BaseModel, ValidationError

from grading import UserError
from grading.bounds import readable
from skillmix_tasks.pack import Split
from skillmix_tasks.rubric import LENGTH, SENSE, TOPIC


class Named(BaseModel):
    """A skill or a topic; a topic has no category."""

    id: str
    name: str
    category: str = ""
    definition: str = ""


class Document(BaseModel):
    """An item; of a private pack its skills and its topic are not told."""

    index: int
    item: str
    hash: str
    k: int
    split: Split
    skills: list[Named] = []
    topic: Named | None = None


class MarkRecord(BaseModel):
    """What a vote says of a point."""

    earned: bool | None
    evidence: str
    state: str


class VoteRecord(BaseModel):
    """One vote; without marks `detail` or `reply` say what came instead."""

    number: int
    judge: str
    state: str
    marks: dict[str, MarkRecord]
    detail: str = ""
    reply: str = ""


class Generation(BaseModel):
    """One judged answer, see skillmix_tasks.judged."""

    answer: str
    sentences: int
    void: str | None
    lost_in_code: dict[str, str]
    points: dict[str, bool | None]
    states: dict[str, str]
    votes: list[VoteRecord]

    def split_points(self) -> list[str]:
        """The points on which the votes that marked them do not agree."""
        return [point for point in self.points if len({mark.earned for mark in self._marks(point)}) > 1]

    def voted_points(self) -> list[str]:
        """The points that two votes or more have marked."""
        return [point for point in self.points if len(self._marks(point)) > 1]

    def _marks(self, point: str) -> list[MarkRecord]:
        marks = [vote.marks[point] for vote in self.votes if point in vote.marks]
        return [mark for mark in marks if mark.earned is not None]


class Sample(BaseModel):
    """One item with its answers and its scores, which are NaN without a verdict."""

    doc: Document
    resps: list[list[str]]
    filtered_resps: list[str]
    coverage: float
    full_marks: float
    all_skills: float
    skill_fraction: float
    full_marks_low: float
    full_marks_high: float

    def generations(self) -> list[Generation]:
        """The judged answers, in order."""
        return [Generation.model_validate_json(text) for text in self.filtered_resps]


def kind_of(point: str) -> str:
    """What kind of point it is: a skill's, or one of the other three by name."""
    return point if point in (TOPIC, SENSE, LENGTH) else "skill"


def read_samples(path: Path) -> Iterator[tuple[Sample, list[Generation]]]:
    """The samples of a file with their judged answers; UserError for a line that is none."""
    with readable(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                sample = Sample.model_validate_json(line)
                yield sample, sample.generations()
            except ValidationError as error:
                first = error.errors()[0]
                place = ".".join(str(part) for part in first["loc"])
                raise UserError(
                    f"Line {number} of {path} is no sample of a judged SKILL-MIX task "
                    f"({place}: {first['msg']}): if the file was cut short, "
                    "remove it to report the results without its answers, or run the task again."
                ) from error
