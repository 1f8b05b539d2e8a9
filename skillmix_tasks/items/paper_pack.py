"""A pack of the papers' own lists: the tables of Zhao et al. 2024 (arXiv 2409.19808, Appendix A, Tables 8 to 10).

The user gives the tables as CSV, as the arXiv HTML page or as LaTeX source; nothing is downloaded here.

    SKILLS.csv   category, skill, definition, example; other columns are not read
    TOPICS.csv   topic, split (train or held-out); or the two columns `train` and `held-out`

The split of the skills is the paper's: literary and rhetorical ones are train. The pack is private.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
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
_SKILL = ("category", "skill", "definition", "example")
_COLUMNS = {name: name for name in _SKILL} | {"skill name": "skill", "name": "skill"}
_SPLIT = re.compile(r"(?:(train|training)|(held out|heldout|test))(?: topics?)?")

_TopicSplit = Literal["train", "heldout"]


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
    found: dict[str, str] = {}
    skills = []
    for table in tables:
        category = ""
        for number, cells in _rows(table, _COLUMNS, {"category", "definition", "example"}) or ():
            place, texts = table.place(number), {cell for cell in table.rows[number] if cell}
            if len(texts) == 1 and _category(*texts):
                [category] = texts  # a row between two groups
                continue
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
            slug = _slug(name, place)
            _refuse_twice(found, slug, f"the skill {_short(name)!r}", place)
            own = ours.get(_key(name))
            skill = {
                "id": slug,
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
    found: dict[str, str] = {}
    splits: dict[str, _TopicSplit] = {}
    topics = []
    for table in tables:
        for name, split, place in _topic_cells(table):
            slug = _slug(name, place)
            if splits.setdefault(slug, split) != split:
                raise UserError(
                    f"{place} has the topic {_short(name)!r} as {_said(split)}, and {found[slug]} has it as "
                    f"{_said(splits[slug])}: delete one of them."
                )
            _refuse_twice(found, slug, f"the topic {_short(name)!r}", place)
            source = "released" if _key(name) in released else "paper"
            topic = {"id": slug, "name": name, "split": split, "source": source}
            topics.append(validated(Topic, topic, table.path))
    return tuple(topics)


def _topic_cells(table: Table) -> Iterator[tuple[str, _TopicSplit, str]]:
    """Each topic of a table with its split and its place, whichever form the table has."""
    by_row = _rows(table, {"topic": "topic", "name": "topic", "split": "split"}, {"split"})
    if by_row is not None:
        for number, cells in by_row:
            place, name, split = table.place(number), cells["topic"], cells["split"]
            if not name:
                raise UserError(f"{place} has an empty 'topic': fill it in.")
            known = _split(split)
            if known is None:
                raise UserError(
                    f"{place} ({_short(name)}) has the split {_short(split)!r}: write train or held-out."
                )
            yield name, known, place
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


def _rows(table: Table, known: dict[str, str], telling: set[str]) -> list[tuple[int, dict[str, str]]] | None:
    """The rows below the headings, with their index and their cells by column; None for a table of something else.

    A CSV file with one of the `telling` columns must have all, for "name" alone is a column of many tables. In a
    page's table the category may have rows of its own.
    """
    wanted = list(dict.fromkeys(known.values()))
    is_csv = table.path.suffix.lower() == ".csv"
    for start, head in enumerate(table.rows[: 1 if is_csv else 5]):
        columns: dict[str, int] = {}
        for index, cell in enumerate(head):
            name = known.get(_key(cell)) or known.get(_key(cell).removesuffix("s"))
            if name is not None:
                columns.setdefault(name, index)
        missing = [name for name in wanted if name not in columns and (is_csv or name != "category")]
        if not missing:
            return [
                (number, {name: row[index] if index < len(row) else "" for name, index in columns.items()})
                for number, row in enumerate(table.rows[start + 1 :], start=start + 1)
                if any(row) and row != head
            ]
        if is_csv and columns.keys() & telling and len(table.rows) > 1:
            raise UserError(
                f"{table.place(start)} has no column {missing[0]!r}: its headings must be {', '.join(wanted)}."
            )
    return None


def _names(cell: str, lists: bool) -> list[str]:
    parts: list[str] = re.split(r"[,;]", cell) if lists else [cell]
    return [name for name in (part.strip(" .") for part in parts) if name]


def _split(cell: str) -> _TopicSplit | None:
    match = _SPLIT.fullmatch(_key(cell))
    if match is None:
        return None
    return "train" if match[1] else "heldout"


def _said(split: _TopicSplit) -> str:
    return "train" if split == "train" else "held-out"


def _category(cell: str) -> str | None:
    return _CATEGORIES.get("".join(words(cell)).removesuffix("skills"))


def _refuse_twice(found: dict[str, str], slug: str, what: str, place: str) -> None:
    if slug in found:
        raise UserError(f"{place} has {what}, which {found[slug]} has already: delete one of them.")
    found[slug] = place


def _slug(name: str, place: str) -> str:
    slug = "-".join(re.findall(r"[a-z0-9]+", _key(name)))
    if not slug:
        raise UserError(f"{place} has the name {_short(name)!r}, which has no Latin letter or digit.")
    return slug


def _key(name: str) -> str:
    return " ".join(words(name))


def _short(cell: str) -> str:
    return cell if len(cell) <= 60 else f"{cell[:60]}..."


def _bundled() -> Pack:
    return read_pack(bundled_packs()["language"])
