"""The student's answers on disk: complete before the first verdict is requested, so that none is ever lost.

One JSON Lines file for each run, task and rank: a header, then one line for each generation. It appears complete
or not at all.
"""

from __future__ import annotations

import json
import os
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, PrivateAttr, ValidationError

from grading import UserError
from grading.errors import first_fault
from grading.home import home, is_own, remember_own
from grading.keys import redacted
from grading.safety.atomic import atomic_file
from grading.safety.bounds import open_file, read_lines
from skillmix_tasks.scoring.reply import USUAL, ReplyFacts, StudentReply, as_reply

ANSWERS_VARIABLE = "SKILLMIX_ANSWERS"
_FORMAT = 1


def answers_folder() -> Path:
    """The folder of answers: SKILLMIX_ANSWERS, or `answers` in the folder of the verdict store."""
    return Path(os.environ.get(ANSWERS_VARIABLE) or home() / "answers")


class AnswerHeader(BaseModel):
    """The head of a run's answers: the task, the student, and the settings with which items were drawn.

    A run of several ranks writes one file for each.
    """

    model_config = ConfigDict(extra="ignore", frozen=True)

    skillmix_answers: int = _FORMAT
    task: str
    version: str
    student: dict[str, Any]
    settings: dict[str, Any]
    judge: dict[str, Any] | list[dict[str, Any]]
    pack_hash: str
    turns: int
    system_instruction: str | None
    generation_kwargs: dict[str, Any]
    sampling: dict[str, Any] | None = None
    rank: int
    world_size: int

    _own: bool = PrivateAttr(default=False)

    @property
    def own(self) -> bool:
        """Whether a run of this user wrote it: only then are the names in it followed."""
        return self._own

    @property
    def run(self) -> str:
        """The key that the files of one run share."""
        return self.model_dump_json(exclude={"rank"})


def stored_answer(index: int, item_hash: str, generation: int, replies: Sequence[StudentReply]) -> StoredAnswer:
    """An answer as it is stored; with default values as texts alone, as earlier releases read them."""
    facts = tuple(reply.facts for reply in replies)
    return StoredAnswer(
        index=index,
        hash=item_hash,
        generation=generation,
        replies=tuple(map(str, replies)),
        students=facts if any(one != USUAL for one in facts) else (),
    )


# A newer release's facts of a reply, such as that it was cut off, must not be skipped.
class StoredAnswer(BaseModel, extra="forbid", frozen=True):
    """One generation: the item's index in its task and content hash, and the replies of its turns.

    `students` are the facts of the replies beside their texts, if they are not the defaults.
    """

    index: int
    hash: str
    generation: int
    replies: tuple[str, ...] = Field(min_length=1, max_length=2)
    students: tuple[ReplyFacts, ...] = ()

    def turns(self) -> tuple[StudentReply, ...]:
        """The replies with their states."""
        if len(self.students) != len(self.replies):
            return tuple(as_reply(text) for text in self.replies)
        return tuple(map(StudentReply, self.replies, self.students))


_written: list[Path] = []


def take_written() -> list[Path]:
    """The files that this process has written and that were not taken before, for a command's last lines."""
    taken = _written.copy()
    _written.clear()
    return taken


def write_answers(folder: Path, header: AnswerHeader, answers: Sequence[StoredAnswer]) -> Path:
    """Write a new file under `folder` and return its path; UserError if the disk refuses."""
    rank = f"_rank{header.rank}of{header.world_size}" if header.world_size > 1 else ""
    path = folder / f"{header.task}_{uuid.uuid4().hex[:12]}{rank}.jsonl"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with atomic_file(path) as draft, draft.open("w", encoding="utf-8") as file:
            head = json.dumps(redacted(header.model_dump(mode="json")), ensure_ascii=True)
            file.write(head + "\n")
            for answer in answers:
                file.write(
                    json.dumps(answer.model_dump(mode="json", exclude_defaults=True), ensure_ascii=True) + "\n"
                )
        remember_own(head.encode())
    except OSError as error:
        raise _unwritable(folder, error) from error
    _written.append(path)
    return path


def check_writable(folder: Path) -> None:
    """Raise UserError if answers could not be written to `folder`, before any is paid for."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as file:
            file.write(b"x")
    except OSError as error:
        raise _unwritable(folder, error) from error


def _unwritable(folder: Path, error: OSError) -> UserError:
    return UserError(
        f"The answers cannot be written to {folder} ({error.strerror}): free space, fix its permissions, or name "
        f"another folder with SKILLMIX_HOME or {ANSWERS_VARIABLE}."
    )


def read_header(path: Path) -> AnswerHeader:
    """The header of a file of `write_answers`; UserError in one sentence if it is invalid."""
    try:
        with open_file(path) as file:
            line = next(read_lines(file), b"")
        header = AnswerHeader.model_validate_json(line)
    except OSError as error:
        raise UserError(f"The answers {path} cannot be read ({error.strerror}).") from error
    except ValidationError as error:
        raise UserError(
            f"{path} is not a file of stored answers (line 1, {first_fault(error)}): name a file "
            "that a run printed."
        ) from error
    if header.skillmix_answers != _FORMAT:
        raise UserError(
            f"{path} has the format {header.skillmix_answers}, and this release reads {_FORMAT}: install the "
            "release that wrote it."
        )
    try:
        json.dumps(header.model_dump(), allow_nan=False)
    except ValueError as error:
        raise UserError(f"{path}, line 1, has NaN or Infinity in place of a number: correct it.") from error
    header._own = is_own(line)  # noqa: SLF001
    return header


def read_answer(path: Path, line: bytes, where: str) -> StoredAnswer:
    """The answer in a line of the file `path`; UserError, which names the line by `where`, if it is invalid."""
    try:
        return StoredAnswer.model_validate_json(line)
    except ValidationError as error:
        raise UserError(
            f"{path}, {where}, is not a stored answer of this release ({first_fault(error)}): remove the line and "
            "the others of its item, or install the release that wrote it."
        ) from error


def is_answer_file(path: Path) -> bool:
    """Whether the first line is a header of ours."""
    with open_file(path) as file:
        return file.readline(64).startswith(b'{"skillmix_answers"')
