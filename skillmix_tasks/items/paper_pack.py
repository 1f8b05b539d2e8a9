"""A pack of the papers' own lists: the tables of Zhao et al. 2024 (arXiv 2409.19808, Appendix A, Tables 8 to 10).

The user gives the tables as CSV, as the arXiv HTML page or as LaTeX source; nothing is downloaded here.

    SKILLS.csv   category, skill, definition, example; other columns are not read
    TOPICS.csv   topic, split (train or held-out); or the two columns `train` and `held-out`

The split of the skills is the paper's: literary and rhetorical ones are train. The pack is private.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from grading import UserError
from grading.safety.atomic import write_atomic
from skillmix_tasks.checks.normalise import words
from skillmix_tasks.items.pack import About, Pack, Skill, Topic, bundled_packs
from skillmix_tasks.items.pack_files import pack_sources, read_pack, read_prompts, validated
from skillmix_tasks.items.tables import Table, read_tables

_TRAIN = ("literary", "rhetorical")
_HELD_OUT = ("reasoning", "logical", "theory of mind", "pragmatics", "common sense", "physical knowledge")
_CATEGORIES = {category.replace(" ", ""): category for category in (*_TRAIN, *_HELD_OUT)}
_COLUMNS = {
    "category": "category",
    "skill": "skill",
    "skill name": "skill",
    "name": "skill",
    "definition": "definition",
    "example": "example",
}
_SKILL = ("category", "skill", "definition", "example")
_SPLIT = re.compile(r"(?:(train|training)|(held out|heldout|test))(?: topics?)?")

_TopicSplit = Literal["train", "heldout"]


@dataclass(frozen=True)
class _Place:
    """A name and the place where its table has it."""

    name: str
    place: str


def import_paper_pack(sources: Sequence[Path], out: Path) -> Pack:
    """Write the pack of the tables in `sources` to the new folder `out`, and return it.

    Raises UserError with the row of the first fault; then nothing is written.
    """
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UserError(f"{out} exists and is not an empty folder: name a new one with -o.")
    tables = [table for path in sources for table in read_tables(path)]
    skills, topics = _skills(tables), _topics(tables)
    for found, what, columns in (
        (skills, "skills", "category, skill, definition and example"),
        (topics, "topics", "topic and split"),
    ):
        if not found:
            raise UserError(
                f"No table of {what} was found in {', '.join(map(str, sources))}: it needs a row of headings with "
                f"{columns}."
            )
    pack = Pack(
        about=About(
            id="paper-b",
            title="Skills and topics of arXiv 2409.19808",
            version="1",
            license="unknown",
            private=True,
            lists="paper-b",
            train_categories=_TRAIN,
            heldout_categories=_HELD_OUT,
        ),
        skills=skills,
        topics=topics,
        prompts=read_prompts(bundled_packs()["language"] / "prompts"),
    )
    out.mkdir(parents=True, exist_ok=True)
    for name, text in pack_sources(pack).items():
        if not name.startswith("prompts/"):  # those of `language` are used
            write_atomic(out / name, text)
    return pack


def _skills(tables: Sequence[Table]) -> tuple[Skill, ...]:
    ours = {_key(skill.name): skill for skill in _bundled().skills}
    found: dict[str, _Place] = {}
    skills = []
    for table in tables:
        head = _heading(table, _COLUMNS)
        if head is None:
            continue
        start, columns = head
        category = ""
        for number, row in enumerate(table.rows[start + 1 :], start=start + 1):
            place = table.place(number)
            if not any(row) or row == table.rows[start]:
                continue
            if len({cell for cell in row if cell}) == 1 and _category(next(filter(None, row))):
                category = next(filter(None, row))  # a row between two groups
                continue
            cells = {name: row[index] if index < len(row) else "" for name, index in columns.items()}
            category = cells.get("category") or (category if table.path.suffix.lower() != ".csv" else "")
            cells["category"] = category
            if empty := [name for name in _SKILL if not cells[name]]:
                raise UserError(f"{place} ({_short(cells['skill'])}) has an empty {empty[0]!r}: fill it in.")
            known = _category(category)
            if known is None:
                raise UserError(
                    f"{place} ({_short(cells['skill'])}) has the unknown category {_short(category)!r}: "
                    f"the paper's are {', '.join(_CATEGORIES.values())}."
                )
            name = cells["skill"]
            _refuse_twice(found, name, place, "skill")
            own = ours.get(_key(name))
            skill = {
                "id": _slug(name, place),
                "name": name,
                "category": known,
                "definition": cells["definition"],
                "example": cells["example"],
                "aliases": own.aliases if own else (),
                "source": "released" if own and own.source == "released" else "paper",
            }
            skills.append(validated(Skill, skill, table.path, number + 1))
    return tuple(skills)


def _topics(tables: Sequence[Table]) -> tuple[Topic, ...]:
    released = {_key(topic.name) for topic in _bundled().topics if topic.source == "released"}
    found: dict[str, _Place] = {}
    splits: dict[str, _TopicSplit] = {}
    topics = []
    for table in tables:
        for name, split, place in _topic_cells(table):
            slug = _slug(name, place)
            if splits.setdefault(slug, split) != split:
                raise UserError(
                    f"{place} has the topic {_short(name)!r} as {_said(split)}, and {found[slug].place} has it as "
                    f"{_said(splits[slug])}: delete one of them."
                )
            _refuse_twice(found, name, place, "topic")
            source = "released" if _key(name) in released else "paper"
            topic = {"id": slug, "name": name, "split": split, "source": source}
            topics.append(validated(Topic, topic, table.path))
    return tuple(topics)


def _topic_cells(table: Table) -> Iterator[tuple[str, _TopicSplit, str]]:
    """Each topic of a table with its split and its place, whichever form the table has."""
    by_row = _heading(table, {"topic": "topic", "name": "topic", "split": "split"})
    if by_row is not None:
        start, columns = by_row
        for number, row in enumerate(table.rows[start + 1 :], start=start + 1):
            if not any(row) or row == table.rows[start]:
                continue
            name, split = (
                row[columns[column]] if columns[column] < len(row) else "" for column in ("topic", "split")
            )
            if not name:
                raise UserError(f"{table.place(number)} has an empty 'topic': fill it in.")
            known = _split(split)
            if known is None:
                raise UserError(
                    f"{table.place(number)} ({_short(name)}) has the split {_short(split)!r}: "
                    "write train or held-out."
                )
            yield name, known, table.place(number)
        return
    lists = table.path.suffix.lower() != ".csv"  # a cell of the paper's own table may hold several
    sides: dict[int, _TopicSplit] = {}
    for number, row in enumerate(table.rows):
        marks = [_split(cell) for cell in row]
        if row and all(marks) and len(set(marks)) > 1:
            sides = {column: mark for column, mark in enumerate(marks) if mark}
        elif sides:
            for column, side in sides.items():
                for name in _names(row[column] if column < len(row) else "", lists):
                    yield name, side, table.place(number)
        elif len(row) > 1 and marks[0] and not any(marks[1:]) and re.search("[A-Za-z]{3}", row[1]):
            for cell in dict.fromkeys(row[1:]):
                for name in _names(cell, lists):
                    yield name, marks[0], table.place(number)


def _heading(table: Table, known: dict[str, str]) -> tuple[int, dict[str, int]] | None:
    """The index of the row of headings, and each column's; None if the table is about something else.

    A CSV file with some of the columns must have all. In a page's table the category may have rows of its own.
    """
    wanted = list(dict.fromkeys(known.values()))
    is_csv = table.path.suffix.lower() == ".csv"
    for number, row in enumerate(table.rows[: 1 if is_csv else 5]):
        columns: dict[str, int] = {}
        for index, cell in enumerate(row):
            name = known.get(" ".join(words(cell))) or known.get(" ".join(words(cell)).removesuffix("s"))
            if name is not None:
                columns.setdefault(name, index)
        needed = wanted if is_csv else [name for name in wanted if name != "category"]
        missing = [name for name in needed if name not in columns]
        if not missing:
            return number, columns
        # "name" alone is a column of many tables; the second to last of ours says which table it is.
        if is_csv and set(columns) & _TELLING[tuple(wanted)] and len(table.rows) > 1:
            raise UserError(
                f"{table.place(number)} has no column {missing[0]!r}: its headings must be {', '.join(wanted)}."
            )
    return None


_TELLING = {
    _SKILL: {"definition", "example", "category"},
    ("topic", "split"): {"split"},
}


def _names(cell: str, lists: bool) -> list[str]:
    parts: list[str] = re.split(r"[,;]", cell) if lists else [cell]
    return [name for name in (part.strip(" .") for part in parts) if name]


def _split(cell: str) -> _TopicSplit | None:
    match = _SPLIT.fullmatch(" ".join(words(cell)))
    if match is None:
        return None
    return "train" if match[1] else "heldout"


def _said(split: _TopicSplit) -> str:
    return "train" if split == "train" else "held-out"


def _category(cell: str) -> str | None:
    return _CATEGORIES.get("".join(words(cell)).removesuffix("skills"))


def _refuse_twice(found: dict[str, _Place], name: str, place: str, kind: str) -> None:
    slug = _slug(name, place)
    if slug in found:
        raise UserError(
            f"{place} has the {kind} {_short(name)!r}, which {found[slug].place} has already: delete one of them."
        )
    found[slug] = _Place(name, place)


def _slug(name: str, place: str) -> str:
    slug = "-".join(re.findall(r"[a-z0-9]+", " ".join(words(name))))
    if not slug:
        raise UserError(f"{place} has the name {_short(name)!r}, which has no Latin letter or digit.")
    return slug


def _key(name: str) -> str:
    return " ".join(words(name))


def _short(cell: str) -> str:
    return cell if len(cell) <= 60 else f"{cell[:60]}..."


def _bundled() -> Pack:
    return read_pack(bundled_packs()["language"])
