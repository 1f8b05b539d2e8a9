"""Reading a pack's files; every fault is one sentence with the file, the entry and the field.

    pack.yaml               id, title, version, license, private, train_categories, heldout_categories,
                            exclusive
    skills.yaml or .csv     id, name, aliases, category, source, wikipedia, definition, example, common
    topics.yaml or .csv     id, name, split, source
    prompts/*.jinja         turn1, turn2, single, judge; a pack without prompts/ has those of `language`
    controls.yaml           optional: id, kind, skills, topic, text, earned

In CSV files aliases are separated by semicolons, and an empty cell is a missing field.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import yaml
from pydantic import ValidationError

from grading import UserError
from grading.errors import all_faults
from grading.safety import bounds
from skillmix_tasks.items.pack import PROMPTS, About, Control, Pack, PackPart, Skill, Topic, bundled_packs

_Entry = TypeVar("_Entry", Skill, Topic)
_WithId = TypeVar("_WithId", Skill, Topic, Control)
_Part = TypeVar("_Part", bound=PackPart)
_SHOWN = 5  # faults at once


class PartError(UserError):
    """Fields of a pack that are wrong; other errors end the reading at once."""


def read_pack(folder: Path) -> Pack:
    """The pack in `folder`, in our format."""
    faults: list[str] = []
    with _noted(faults):
        about = validated(About, _yaml(folder / "pack.yaml"), folder / "pack.yaml")
    with _noted(faults):
        skills = _entries(Skill, folder, "skills")
    with _noted(faults):
        topics = _entries(Topic, folder, "topics")
    _refuse(faults)
    known = {*about.train_categories, *about.heldout_categories}
    for skill in skills:
        if skill.category not in known:
            raise UserError(
                f"{folder}: the skill {skill.id!r} has the category {skill.category!r}, which is not among the "
                "train_categories and heldout_categories of pack.yaml."
            )
    ids = {skill.id for skill in skills}
    for skill_id in (skill_id for group in about.exclusive for skill_id in group):
        if skill_id not in ids:
            raise UserError(
                f"{folder / 'pack.yaml'}: `exclusive` names the skill {skill_id!r}, which this pack does not "
                "have: take the name out."
            )
    own = folder / "prompts"
    prompts = read_prompts(own if own.is_dir() else bundled_packs()["language"] / "prompts")
    controls = _controls(folder / "controls.yaml", skills, topics)
    return Pack(about=about, skills=skills, topics=topics, prompts=prompts, controls=controls)


def pack_sources(pack: Pack) -> dict[str, str]:
    """The files that `read_pack` reads the same pack from, by their paths in its folder."""
    parts = {
        "pack.yaml": pack.about.model_dump(mode="json"),
        "skills.yaml": [skill.model_dump(mode="json", exclude_defaults=True) for skill in pack.skills],
        "topics.yaml": [topic.model_dump(mode="json", exclude_defaults=True) for topic in pack.topics],
        **(
            {"controls.yaml": [control.model_dump(mode="json") for control in pack.controls]}
            if pack.controls
            else {}
        ),
    }
    texts = {name: yaml.safe_dump(part, sort_keys=False, allow_unicode=True) for name, part in parts.items()}
    return texts | {f"prompts/{name}.jinja": pack.prompts[name] for name in PROMPTS}


def read_prompts(folder: Path) -> dict[str, str]:
    """The four templates of `folder`, by name."""
    return {name: read_text(folder / f"{name}.jinja") for name in PROMPTS}


def read_text(path: Path, most: int = bounds.MOST_YAML) -> str:
    """The text of a UTF-8 file of at most so many bytes."""
    try:
        return bounds.read_text(path, most)
    except FileNotFoundError as error:
        raise UserError(f"The pack lacks the file {path}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}).") from error


def read_rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file by column, without empty cells."""
    columns, *lines = [line for line in read_cells(path) if line] or [[]]
    rows = []
    for number, cells in enumerate(lines, start=1):
        if len(cells) != len(columns):
            raise UserError(f"{path}: entry {number} has another number of cells than the first line has columns.")
        rows.append({column: cell for column, cell in zip(columns, cells, strict=True) if cell})
    return rows


def read_cells(path: Path) -> list[list[str]]:
    """All lines of a CSV file as cells without white space around them."""
    try:
        lines = list(csv.reader(io.StringIO(read_text(path).removeprefix("\ufeff"), newline=""), strict=True))
    except csv.Error as error:
        raise UserError(f"{path} is not valid CSV ({error}).") from error
    return [[cell.strip() for cell in line] for line in lines]


def validated(kind: type[_Part], data: object, path: Path, number: int | None = None) -> _Part:
    """`data` as a part of a pack; `number` is the entry's number in its file, from 1."""
    try:
        return kind.model_validate(data)
    except ValidationError as error:
        entry = ""
        if number is not None:
            name = data.get("id") if isinstance(data, dict) else None
            entry = f" entry {number}" + (f" ({name})" if name else "") + ","
        faults = (f"field {fault.place or 'the whole'!r}: {fault.reason}" for fault in all_faults(error))
        raise PartError(f"{path}:{entry} {'; '.join(faults)}.") from error


def refuse_twice(values: Iterable[str], field: str, path: Path) -> None:
    """Raise UserError if a value appears twice, in any case."""
    seen = set()
    for value in values:
        if value.casefold() in seen:
            raise UserError(f"{path}: the {field} {value!r} appears twice: make it unique.")
        seen.add(value.casefold())


def _entries(kind: type[_Entry], folder: Path, name: str) -> tuple[_Entry, ...]:
    path = folder / f"{name}.csv"
    data: Any
    if path.is_file() and not (folder / f"{name}.yaml").is_file():
        data = [_from_cells(row) for row in read_rows(path)]
    else:
        path = folder / f"{name}.yaml"
        data = _yaml(path)
    entries = _parts(kind, data, path, "holds no entries: each needs at least an id and a name")
    refuse_twice((entry.name for entry in entries), "name", path)
    return entries


@contextmanager
def _noted(faults: list[str]) -> Iterator[None]:
    """Note a PartError in `faults` and go on: an author sees all faults at once."""
    try:
        yield
    except PartError as error:
        faults.append(str(error))


def _refuse(faults: Sequence[str]) -> None:
    if faults:
        more = [f"And {len(faults) - _SHOWN} more."] if len(faults) > _SHOWN else []
        raise PartError("\n".join([*faults[:_SHOWN], *more]))


def _parts(kind: type[_WithId], data: Any, path: Path, empty: str) -> tuple[_WithId, ...]:
    if not isinstance(data, list) or not data:
        raise UserError(f"{path} {empty}.")
    parts, faults = [], list[str]()
    for number, part in enumerate(data, start=1):
        with _noted(faults):
            parts.append(validated(kind, part, path, number))
    _refuse(faults)
    refuse_twice((part.id for part in parts), "id", path)
    return tuple(parts)


def _controls(path: Path, skills: tuple[Skill, ...], topics: tuple[Topic, ...]) -> tuple[Control, ...]:
    if not path.is_file():
        return ()
    empty = "holds no control answers: delete it, or see docs/packs.md for its format"
    controls = _parts(Control, _yaml(path), path, empty)
    known = {"skill": {skill.id for skill in skills}, "topic": {topic.id for topic in topics}}
    for control in controls:
        refuse_twice(control.skills, f"skill of {control.id}", path)
        for kind, id_ in (*(("skill", skill) for skill in control.skills), ("topic", control.topic)):
            if id_ not in known[kind]:
                raise UserError(
                    f"{path}: {control.id} names the {kind} {id_!r}, which this pack does not have: change or "
                    "delete this control answer."
                )
    return controls


def _from_cells(row: dict[str, str]) -> dict[str, Any]:
    if "aliases" not in row:
        return dict(row)
    return row | {"aliases": [alias.strip() for alias in row["aliases"].split(";") if alias.strip()]}


def _yaml(path: Path) -> Any:
    text = read_text(path)
    try:
        return bounds.load_yaml(text)
    except ValueError as error:
        raise UserError(f"{path} is not valid YAML ({error}).") from error
