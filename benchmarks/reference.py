"""GPT-4's real gradings of the reference data: five answers x three generations x four students."""

from __future__ import annotations

import csv
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grading import GradingRequest, UserError
from skillmix_tasks.items import Item
from skillmix_tasks.pack import Pack, load_pack
from skillmix_tasks.rubric import grading_request


@dataclass(frozen=True)
class RecordedGrading:
    """One answer with what the reference's judge was asked and wrote.

    `request` is what our judge would be asked. `earned` are the judge's points for the criteria of that request
    by id; `skills` are the names of the first of these. `length` is the point for the number of sentences, by the
    reference's own count. `index` (the item's, from 0) and `generation` (from 1) are those within the answers of
    one student.
    """

    student: str
    k: int
    generation: int
    index: int
    skills: tuple[str, ...]
    prompt: str
    reply: str
    request: GradingRequest
    earned: dict[str, bool]
    length: bool


@dataclass(frozen=True)
class RecordedAnswer:
    """One text with its whole conversation: the prompt and the reply of each turn.

    `index` (the item's, from 0) and `generation` (from 1) are those within the answers of one student.
    """

    student: str
    k: int
    generation: int
    index: int
    prompts: tuple[str, str]
    answers: tuple[str, str]


def read_answers(folder: Path) -> list[RecordedAnswer]:
    """All recorded texts; UserError if the folder holds none."""
    found = [
        RecordedAnswer(
            student=path.parent.name,
            k=int(row["k"]),
            generation=int(path.parents[1].name.rpartition("_r")[2]),
            index=index,
            prompts=(row["user_0"], row["user_1"]),
            answers=(row["assistant_0"], row["assistant_1"]),
        )
        for path in sorted(folder.glob("test/*/*/records.csv"))
        for index, row in enumerate(_rows(path))
    ]
    if not found:
        raise UserError(f"{folder} holds no answers of the reference implementation under test/.")
    return found


def read_gradings(folder: Path) -> list[RecordedGrading]:
    """All recorded gradings of second answers, one for each answer.

    Of the three gradings only the first is read: the files of the other two are equal to it.
    Raises UserError if the folder holds none.
    """
    pack = load_pack(str(folder))
    found = [
        one for path in sorted(folder.glob("test/*/*/graded/*_1_1_gpt/records.csv")) for one in _read(path, pack)
    ]
    if not found:
        raise UserError(f"{folder} holds no graded answers of the reference implementation under test/.")
    return found


def print_for_folder(name: str, figures: Callable[[Path], str]) -> None:
    """Be the benchmark `name`: print the figures for the folder that the command names."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m benchmarks.{name} FOLDER_OF_THE_REFERENCE_DATA")
    try:
        print(figures(Path(sys.argv[1])))  # noqa: T201
    except UserError as error:
        sys.exit(f"Error: {error}")


def _read(path: Path, pack: Pack) -> Iterator[RecordedGrading]:
    student = path.parents[2]
    skills = {skill.name: skill for skill in pack.skills}
    topics = {topic.name: topic for topic in pack.topics}
    generation = int(student.parent.name.rpartition("_r")[2])
    for index, (answer, grading) in enumerate(zip(_rows(student / "records.csv"), _rows(path), strict=True)):
        names = [name.strip() for name in re.split(r",\s*\n", answer["skills"])]
        chosen = tuple(skills[name] for name in names)
        item = Item("", "", len(names), "all", chosen, topics[answer["topic"].strip()])
        request = grading_request(pack, item, answer["text_1"])
        *points, length = (float(point) == 1 for point in grading["points_0"].split(","))
        yield RecordedGrading(
            student=student.name,
            k=item.k,
            generation=generation,
            index=index,
            skills=tuple(names),
            prompt=grading["user_0"],
            reply=grading["assistant_0"],
            request=request,
            earned={c.id: point for c, point in zip(request.criteria, points, strict=True)},
            length=length and float(grading["true_sentence_lim_pt_0"]) == 1,
        )


def _rows(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
