"""The places of stored answers: one pass over the files keeps no text, so that any number of answers can be
graded.

The files are our answer files (skillmix_tasks.stored.answers) or lm-eval's samples.
"""

from __future__ import annotations

import json
import logging
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from grading import UserError
from grading.safety.bounds import load_json, open_file, read_lines
from skillmix_tasks.items.pack import bundled_packs
from skillmix_tasks.scoring.reply import AnswerState, StudentReply
from skillmix_tasks.stored.answers import AnswerHeader, StoredAnswer, is_answer_file, read_answer, read_header
from skillmix_tasks.stored.find_results import all_samples_of, date_of, record_beside

logger = logging.getLogger(__name__)

# Settings that a run's header does not have, since it has the judges that came of them.
_JUDGE = frozenset({"judge", "judge_base_url", "votes", "price"})


@dataclass(slots=True)
class StoredItem:
    """An item's index in its task, and for each generation its file and its line's first byte."""

    index: int
    places: list[tuple[_File, int] | None]


@dataclass
class StoredTask:
    """The answers to one task, from all files that hold some; `items` by their hash.

    `pack` is the pack's id, None where a file does not say it, and `pack_hash` tells its versions apart.
    """

    task: str
    path: Path  # the first file
    turns: int
    settings: dict[str, Any]
    student: dict[str, Any]
    own: bool = True  # of a run of this user, or without anything that could be followed
    run: str = ""
    sampling: dict[str, Any] | None = None
    pack: str | None = None
    pack_hash: str | None = None
    ranks: list[int] = field(default_factory=list)
    world_size: int = 1
    items: dict[str, StoredItem] = field(default_factory=dict)
    cut: bool = False  # whether the last line of a file is truncated

    def in_order(self) -> list[str]:
        """The items' hashes in the order of their indices."""
        return sorted(self.items, key=lambda name: self.items[name].index)

    def replies(self, names: Iterable[str]) -> dict[tuple[str, int], tuple[StudentReply, ...]]:
        """The replies of all turns, by item and generation, of the items `names`, read from the files now.

        Raises UserError if the files have changed since they were looked through.
        """
        wanted = {(name, g): place for name in names for g, place in enumerate(self.items[name].places) if place}
        offsets: dict[_File, set[int]] = defaultdict(set)
        for file, offset in wanted.values():
            offsets[file].add(offset)
        found: dict[tuple[str, int], tuple[StudentReply, ...]] = {}
        with _readable():
            for file, lines in offsets.items():
                for _, answer in file.answers_at(sorted(lines)):
                    found[answer.hash, answer.generation] = answer.turns()
        if not wanted.keys() <= found.keys():
            raise UserError(f"The files of {self.task} changed while they were graded: start again.")
        return {key: found[key] for key in wanted}


def find_answers(paths: Sequence[Path], generations: int) -> list[StoredTask]:
    """Look through the files, which must hold complete runs: all `generations` of each item, and all ranks.

    UserError says what is missing, or which file is invalid.
    """
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no file {path}.")
    tasks: dict[str, StoredTask] = {}
    with _readable():
        for file in [_File(path) for path in paths]:
            _look_through(file, tasks, generations)
    for one in tasks.values():
        _check_complete(one)
    return list(tasks.values())


def runs_in(paths: Sequence[Path]) -> list[list[Path]]:
    """The files of answers that `paths` name, or hold if they are folders, by run: those that are graded together.

    A run is of one student in one evaluation, or in several with the same settings, and has each task once.
    UserError if a path leads to no answers.
    """
    runs: list[tuple[tuple[str, ...], dict[Path, tuple[str, str, int]]]] = []
    with _readable():
        for path in _answer_files(paths):
            key, one = _contents(path)
            for of, files in runs:
                if of == key and all(_go_together(one, other) for other in files.values()):
                    files[path] = one
                    break
            else:
                runs.append((key, {path: one}))
    return [list(files) for _, files in runs]


def _go_together(one: tuple[str, str, int], other: tuple[str, str, int]) -> bool:
    """Whether two files, by task, run and rank, may be of one run."""
    return one[0] != other[0] or (one[1] == other[1] and one[2] != other[2])


def _contents(path: Path) -> tuple[tuple[str, ...], tuple[str, str, int]]:
    """What all files of a run have in common, and a file's task with run and rank."""
    file = _File(path)
    if (header := file.header) is not None:
        common = [header.student, header.settings, header.judge, header.turns]
        return (json.dumps(common, sort_keys=True),), (header.task, header.run, header.rank)
    first = next(file.answers_at([0]), None) if _is_of_ours(path) else None
    task, turns = (first[0], len(first[1].replies)) if first else ("", 0)
    return (str(path.resolve().parent), date_of(path), str(turns)), (task, "", 0)


def _answer_files(paths: Sequence[Path]) -> Iterator[Path]:
    for path in paths:
        if not path.exists():
            raise UserError(f"There is no file or folder {path}.")
        if not path.is_dir():
            yield from (all_samples_of(path) if path.suffix == ".json" else ()) or (path,)
            continue
        files = sorted(path.rglob("*.jsonl"))
        stored = [file for file in files if is_answer_file(file)]
        samples = [file for file in files if file not in stored and _is_of_ours(file)]
        if not stored and not samples:
            raise UserError(
                f"There are no answers under {path}: name a folder with samples_skillmix_*.jsonl of "
                "`skillmix eval --out`, or with files of stored answers."
            )
        if stored and samples:
            logger.info("%s has stored answers and samples: the stored answers are graded.", path)
        yield from stored or samples


def _is_of_ours(file: Path) -> bool:
    """Whether the first line is a sample of a task of ours; a folder may hold anything."""
    with open_file(file) as lines:
        line = next(read_lines(lines), b"")
    if not _is_json(line):
        return False
    sample = load_json(line)
    document = sample.get("doc") if isinstance(sample, dict) else None
    return isinstance(document, dict) and {"task", "hash", "index", "private"} <= document.keys()


@contextmanager
def _readable() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UserError(f"{error.filename} cannot be read ({error.strerror}).") from error


def _look_through(file: _File, tasks: dict[str, StoredTask], generations: int) -> None:
    """Add what the file holds to `tasks`."""
    new = set()
    if file.header is not None:  # a rank may have no answers, and counts anyway
        new.add(file.header.task)
        _add_file(tasks, file, file.header.task, file.header.turns)
    for offset, task, answer in file.answers():
        if task not in new:
            new.add(task)
            _add_file(tasks, file, task, len(answer.replies))
        _add_answer(tasks[task], answer, (file, offset), generations)
    if not new:
        if file.cut:
            raise UserError(
                f"{file.path} holds no complete answer, because line {file.cut} is truncated: name "
                "samples_skillmix_*.jsonl files of lm_eval --log_samples, or files of stored answers."
            )
        raise UserError(f"{file.path} is empty.")
    for task in new:
        tasks[task].cut |= file.cut > 0


def _add_file(tasks: dict[str, StoredTask], file: _File, task: str, turns: int) -> None:
    one = file.task(task, turns)
    known = tasks.setdefault(task, one)
    if known.run != one.run or known.turns != one.turns:
        raise UserError(f"{known.path} and {file.path} are of different runs: grade them one by one.")
    known.ranks.append(file.header.rank if file.header else 0)


def _add_answer(task: StoredTask, answer: StoredAnswer, place: tuple[_File, int], generations: int) -> None:
    if answer.generation not in range(generations):
        raise UserError(
            f"The item {answer.hash} of {task.path} has an answer in generation {answer.generation}, and "
            f"{task.task} has {generations} generations, numbered from 0: the file is of another version."
        )
    item = task.items.get(answer.hash)
    if item is None:
        item = task.items[answer.hash] = StoredItem(answer.index, [None] * generations)
    if item.places[answer.generation] is not None:
        raise UserError(
            f"The item {answer.hash} has two answers in generation {answer.generation}: these files are of "
            "different runs; grade them one by one."
        )
    if len(answer.replies) != task.turns:
        raise UserError("Some of these answers have one turn and some two: grade them in two commands.")
    item.places[answer.generation] = place


def _check_complete(task: StoredTask) -> None:
    if task.world_size > 1 and sorted(task.ranks) != list(range(task.world_size)):
        raise UserError(
            f"{task.path} is of a run of {task.world_size} ranks: name the files of all of them, each once "
            f"({task.task}_*_rank*of{task.world_size}.jsonl)."
        )
    incomplete = [name for name, item in task.items.items() if None in item.places]
    if task.cut and len(incomplete) == 1:  # the one of the cut line
        there = len(task.items.pop(incomplete.pop()).places)
        logger.warning(
            "An item of %s is left out with that line: not all of its %d generations are there.", task.path, there
        )
    if not task.items:
        raise UserError(f"{task.path} holds no complete item." if task.cut else f"{task.path} is empty.")
    if incomplete:
        places = task.items[incomplete[0]].places
        there = sum(place is not None for place in places)
        raise UserError(
            f"The item {incomplete[0]} has {there} of its {len(places)} generations: name all files of the run."
        )


class _File:
    """One file of either kind; `header` is None for samples.

    `cut` is the number of a truncated last line, or 0, once all lines were read.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.cut = 0
        self.header: AnswerHeader | None = read_header(path) if is_answer_file(path) else None

    def task(self, name: str, turns: int) -> StoredTask:
        """A task of this file, still without its items."""
        header = self.header
        if header is None:
            record = record_beside(self.path, name)
            if record is None:
                # lm-eval names the folder after the model, with two underscores for each slash.
                student = {"model": self.path.resolve().parent.name.replace("__", "/")}
                return StoredTask(name, self.path, turns, {}, student)
            settings: dict[str, Any] = {
                "seed": record.seed,
                "drop_common": record.drop_common,
                "controls": record.controls is not None,
            }
            if record.ungrounded is not None:
                settings["ungrounded"] = record.ungrounded.rule
            return StoredTask(
                name,
                self.path,
                turns,
                settings,
                record.student,
                sampling=record.sampling,
                pack=record.pack.id,
                pack_hash=record.pack.hash,
            )
        settings = {name: value for name, value in header.settings.items() if name not in _JUDGE}
        pack = settings.get("pack")
        return StoredTask(
            name,
            self.path,
            turns,
            settings | {"judge": header.judge},
            header.student,
            own=header.own,
            run=header.run,
            sampling=header.sampling,
            pack=pack if pack in bundled_packs() else None,
            pack_hash=header.pack_hash,
            world_size=header.world_size,
        )

    def answers(self) -> Iterator[tuple[int, str, StoredAnswer]]:
        """All answers, each with its line's first byte and its task.

        A truncated last line is left out with a warning.
        """
        offset, size = 0, self.path.stat().st_size
        with open_file(self.path) as file:
            for number, line in enumerate(read_lines(file), start=1):
                if offset + len(line) == size and not _is_json(line):
                    self.cut = number
                    logger.warning("%s, line %d, is truncated and is left out.", self.path, number)
                elif self.header is None or number > 1:
                    for task, answer in self._parsed(line, f"line {number}"):
                        yield offset, task, answer
                offset += len(line)

    def answers_at(self, offsets: Iterable[int]) -> Iterator[tuple[str, StoredAnswer]]:
        """The answers of the lines that begin at `offsets`, each with its task."""
        with open_file(self.path) as file:
            for offset in offsets:
                file.seek(offset)
                yield from self._parsed(next(read_lines(file), b""), f"byte {offset}")

    def _parsed(self, line: bytes, where: str) -> list[tuple[str, StoredAnswer]]:
        if self.header is not None:
            return [(self.header.task, read_answer(self.path, line, where))]
        try:
            sample = load_json(line)
            document = sample["doc"]
            if document["private"]:
                raise UserError(
                    f"{self.path} is of a private pack and holds no replies: grade the file of stored answers, "
                    "whose path the run printed."
                )
            answers = [
                {
                    "index": document["index"],
                    "hash": document["hash"],
                    "generation": generation,
                    "replies": replies,
                    "students": _students(sample, generation, len(replies)),
                }
                for generation, replies in enumerate(sample["resps"])
            ]
            # Validated here, where a string is not a list of replies and no reply is missing.
            return [(str(document["task"]), StoredAnswer.model_validate(answer)) for answer in answers]
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(
                f"{self.path}, {where}, is not a sample of a SKILL-MIX task: name samples_skillmix_*.jsonl "
                "files of lm_eval --log_samples, or files of stored answers."
            ) from error


def _students(sample: dict[str, Any], generation: int, turns: int) -> list[dict[str, Any]]:
    """A sample's facts of an answer's replies beside their texts; earlier releases have none."""
    records = sample.get("filtered_resps") or []
    record = load_json(records[generation]) if generation < len(records) else {}
    student = record.get("student") if isinstance(record, dict) else None
    if not isinstance(student, dict) or student == {"state": AnswerState.ANSWERED}:
        return []
    reasoning = student.pop("reasoning", [""] * turns)
    turn = [{"reasoning": text} for text in reasoning]
    turn[-1] |= student  # the answer's facts are kept with its last reply
    return turn


def _is_json(line: bytes) -> bool:
    try:
        load_json(line)
    except ValueError:
        return False
    return True
