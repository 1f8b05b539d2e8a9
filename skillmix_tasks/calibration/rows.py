"""One grading file of the reference implementation, row by row, each row checked before it counts."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from skillmix_tasks.calibration.table import read_table_reply
from skillmix_tasks.calibration.tree import Fault, GradingFile, read_table
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

Cells = Mapping[str, str | None]
_ANSWER = "The student's answer was: "
_DEFINITIONS = "For reference, here are the definitions for the skills"
_NEEDED = ("k", "skills", "topic", "points_0", "true_sentence_lim_pt_0")
_CHATS = (("user_0", "assistant_0"), ("[INST]_0", "[/INST]_0"))  # the second where LLaMA-2 is the judge


@dataclass(frozen=True)
class ItemKey:
    """A combination of skills with a topic; `number` distinguishes equal ones of a file."""

    skills: tuple[str, ...]
    topic: str
    number: int = 0


@dataclass(frozen=True)
class GradedRow:
    """One grading of one answer.

    `points` has s1 .. sk, topic, sense and length, the last by the reference's own count of sentences. `answer` is
    the text in the judge's prompt, with the text around it there. `index` is the row's place in its file, from
    0.
    """

    index: int
    key: ItemKey
    points: dict[str, bool]
    prompt: str
    reply: str
    answer: str


def read_rows(folder: Path, file: GradingFile) -> tuple[list[GradedRow], list[Fault]]:
    """The usable rows of a grading file, and the faults of the file and the other rows.

    Where the recorded points are not one for each criterion, or not 0 and 1, they are read again from the reply,
    by criterion; a point that is not found there makes the row unusable.
    """
    name = str(file.path.relative_to(folder))
    cells, broken = read_table(file.path)
    fault = partial(file.series.fault, file=name)
    faults = [fault(broken, "damaged file")] if broken else []
    chat = next((chat for chat in _CHATS if cells and chat[0] in cells[0]), _CHATS[0])
    needed = (*_NEEDED, *chat)
    if not cells:
        return [], [*faults, fault("it has no rows", "damaged file")]
    if missing := [column for column in needed if column not in cells[0]]:
        what = f"the column {', '.join(missing)} is missing; the file is left out"
        return [], [*faults, fault(what, "damaged file")]
    rows: list[GradedRow] = []
    seen: Counter[ItemKey] = Counter()
    for index, row in enumerate(cells):
        try:
            key = item_key(row, file.series.k)
            key = ItemKey(key.skills, key.topic, seen[key])
            seen[ItemKey(key.skills, key.topic)] += 1
            if gone := [column for column in needed if row[column] is None]:
                raise ValueError(f"it is cut off before {', '.join(gone)}")  # noqa: TRY301 - one place reports
            found, remarks = _row(index, key, row, chat)
        except ValueError as error:
            faults.append(fault(f"row {index + 1}: {error}; the row is left out", "unusable row"))
            continue
        rows.append(found)
        faults += [fault(f"row {index + 1}: {remark}", kind) for remark, kind in remarks]
    return rows, faults


def item_key(row: Cells, k: int) -> ItemKey:
    """The item of a row; ValueError unless it has `k` skills and a topic."""
    listed, topic, said = row.get("skills"), row.get("topic"), row.get("k")
    if not listed or not topic or not topic.strip():
        raise ValueError("it names no skills or no topic")
    # One skill a line; where there is one line, commas part them.
    parts = re.split(r",\s*\n" if "\n" in listed else ",", listed)
    skills = tuple(" ".join(part.split()) for part in parts)
    if len(skills) != k or not all(skills):
        raise ValueError(f"under skills stand {len(skills)} names, and the folder says k = {k}")
    if said != str(k):
        raise ValueError(f"under k stands {said!r}, and the folder says {k}")
    return ItemKey(skills, topic.strip())


def _row(index: int, key: ItemKey, row: Cells, chat: tuple[str, str]) -> tuple[GradedRow, list[tuple[str, str]]]:
    prompt, reply = row[chat[0]] or "", row[chat[1]] or ""
    answer = _answer(prompt, chat[0])
    limit = _zero_or_one(row["true_sentence_lim_pt_0"] or "")
    if limit is None:
        raise ValueError(f"under true_sentence_lim_pt_0 stands {row['true_sentence_lim_pt_0']!r}, not 0 or 1")
    points, remarks = _points(row["points_0"] or "", reply, key)
    # The reference's script lets its own count decide about the length, whatever the judge says.
    return GradedRow(index, key, points | {LENGTH: limit}, prompt, reply, answer), remarks


def _points(said: str, reply: str, key: ItemKey) -> tuple[dict[str, bool], list[tuple[str, str]]]:
    """The recorded points, and where the reply says otherwise; or else those of the reply.

    Each remark has the kind of its fault.
    """
    names = [*(f"s{number}" for number in range(1, len(key.skills) + 1)), TOPIC, SENSE, LENGTH]
    recorded = [point for part in said.split(",") if (point := _zero_or_one(part)) is not None]
    reading = read_table_reply(reply, key.skills, key.topic) if "|" in reply else None
    if len(recorded) == len(said.split(",")) == len(names):
        points = dict(zip(names, recorded, strict=True))
        read = reading or points
        differing = [point for point in names if read[point] != points[point]]
        said = "; ".join(_difference(point, points[point], read[point]) for point in differing)
        return points, [(said, "contradicted row")] if said else []
    wrong = f"the recorded points {said!r} are not {len(names)} of 0 or 1"
    if reading is None:
        form = "in the LLaMA grading format" if "point earned" in reply.casefold() else "no table"
        raise ValueError(f"{wrong}, and the reply is {form}")
    points = {point: earned for point, earned in reading.items() if not isinstance(earned, str)}
    if lost := [f"{point} ({reading[point]})" for point in names if point not in {*points, LENGTH}]:
        raise ValueError(f"{wrong}, and the reply does not decide {', '.join(lost)}")
    return points, [(f"{wrong}; they are read from the reply", "reread row")]


def _difference(point: str, recorded: bool, read: bool | str) -> str:
    says = f"decides nothing ({read})" if isinstance(read, str) else f"says {int(read)}"
    return f"{point} is recorded as {int(recorded)}, and the reply {says}"


def _answer(prompt: str, column: str) -> str:
    _, found, rest = prompt.partition(_DEFINITIONS)[0].partition(_ANSWER)
    if not found:
        raise ValueError(f"under {column} stands no grading prompt with a student's answer")
    return rest.strip()


def _zero_or_one(text: str) -> bool | None:
    try:
        number = float(text)
    except ValueError:
        return None
    return bool(number) if number in (0, 1) else None
