"""A pack: the skills, the topics and the prompts of one benchmark, as files in a folder.

pack.yaml      id, title, version, license, private, and which categories are train and held-out
skills.yaml    id, name, aliases, category, source, wikipedia, definition, example, common
topics.yaml    id, name, split, source
prompts/       turn1.jinja, turn2.jinja, single.jinja (for the student), judge.jinja (for the judge)
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, TypeVar

import yaml
from jinja2 import Environment, StrictUndefined, TemplateError
from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError, model_validator

from grading import UserError

Split = Literal["all", "train", "heldout", "public"]
STUDENT_PROMPTS = ("turn1", "turn2", "single")
PROMPTS = (*STUDENT_PROMPTS, "judge")
_ID = r"^[a-z0-9]+(-[a-z0-9]+)*$"
_Text = Field(min_length=1)


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Skill(_Strict):
    """One skill. `aliases` are further names under which a text may not name it; `common` is the reason why
    it counts as very common in ordinary text, and None on the others."""

    id: str = Field(pattern=_ID)
    name: str = _Text
    aliases: tuple[str, ...] = ()
    category: str = _Text
    source: Literal["released", "paper", "ours"] = "ours"
    wikipedia: str | None = None
    definition: str = _Text
    example: str = _Text
    common: str | None = None


class Topic(_Strict):
    """One topic and the side of the split it is on."""

    id: str = Field(pattern=_ID)
    name: str = _Text
    split: Literal["train", "heldout"]
    source: Literal["released", "paper", "ours"] = "ours"


class _About(_Strict):
    """The file pack.yaml."""

    id: str = Field(pattern=_ID)
    title: str = _Text
    version: str = _Text
    license: str = _Text
    private: bool = False
    train_categories: tuple[str, ...] = ()
    heldout_categories: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> _About:
        both = set(self.train_categories) & set(self.heldout_categories)
        if both:
            raise ValueError(f"categories are both train and held-out: {', '.join(sorted(both))}")
        return self


class Pack(_Strict):
    """A whole pack; `hash` (16 hexadecimal digits) changes with anything in it."""

    about: _About
    skills: tuple[Skill, ...]
    topics: tuple[Topic, ...]
    prompts: dict[str, str]

    @property
    def hash(self) -> str:
        """What tells this pack's content from any other's."""
        content = json.dumps(self.model_dump(mode="json"), sort_keys=True)
        return hashlib.sha256(content.encode()).hexdigest()[:16]

    def skills_of(self, split: Split) -> tuple[Skill, ...]:
        """The skills of a split, sorted by id; "public" are those that the papers' authors released."""
        categories = {"train": self.about.train_categories, "heldout": self.about.heldout_categories}
        return tuple(
            skill
            for skill in sorted(self.skills, key=lambda skill: skill.id)
            if split == "all"
            or (skill.source == "released" if split == "public" else skill.category in categories[split])
        )

    def topics_of(self, split: Split) -> tuple[Topic, ...]:
        """The topics of a split, sorted by id."""
        return tuple(
            topic
            for topic in sorted(self.topics, key=lambda topic: topic.id)
            if split == "all" or (topic.source == "released" if split == "public" else topic.split == split)
        )


def bundled_packs() -> dict[str, Path]:
    """The packs that come with this package, by name."""
    root = Path(str(files("skillmix_tasks"))) / "packs"
    return {folder.name: folder for folder in sorted(root.iterdir()) if (folder / "pack.yaml").is_file()}


def load_pack(name: str) -> Pack:
    """The bundled pack `name`, or the pack in the directory `name`.

    Raises UserError with the file, the entry and the field of the first fault.
    """
    folder = bundled_packs().get(name, Path(name))
    if not folder.is_dir():
        raise UserError(
            f"There is no pack {name!r}: name one of {', '.join(bundled_packs())}, or a directory that holds "
            "pack.yaml, skills.yaml, topics.yaml and prompts/."
        )
    return _load(folder)


@cache
def _load(folder: Path) -> Pack:
    about = _validated(_About, _yaml(folder / "pack.yaml"), folder / "pack.yaml")
    skills = _entries(Skill, folder / "skills.yaml")
    topics = _entries(Topic, folder / "topics.yaml")
    known = {*about.train_categories, *about.heldout_categories}
    for skill in skills:
        if skill.category not in known:
            raise UserError(
                f"{folder / 'skills.yaml'}: skill {skill.id!r} has the category {skill.category!r}, which is "
                "not among the train_categories and heldout_categories of pack.yaml."
            )
    return Pack(about=about, skills=skills, topics=topics, prompts=_prompts(folder / "prompts"))


_Entry = TypeVar("_Entry", Skill, Topic)
_Model = TypeVar("_Model", bound=_Strict)


def _entries(kind: type[_Entry], path: Path) -> tuple[_Entry, ...]:
    data = _yaml(path)
    if not isinstance(data, list) or not data:
        raise UserError(f"{path} holds no list of entries: each begins with `- id: ...`.")
    entries = tuple(_validated(kind, entry, path, number) for number, entry in enumerate(data, start=1))
    for field in ("id", "name"):
        _refuse_twice((getattr(entry, field) for entry in entries), field, path)
    return entries


def _refuse_twice(values: Iterable[str], field: str, path: Path) -> None:
    seen = set()
    for value in values:
        if value.casefold() in seen:
            raise UserError(f"{path}: the {field} {value!r} is there twice; make it unique.")
        seen.add(value.casefold())


def _validated(kind: type[_Model], data: object, path: Path, number: int | None = None) -> _Model:
    try:
        return TypeAdapter(kind).validate_python(data)
    except ValidationError as error:
        first = error.errors()[0]
        entry = ""
        if number is not None:
            name = data.get("id") if isinstance(data, dict) else None
            entry = f" entry {number}" + (f" ({name})" if name else "") + ","
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise UserError(f"{path}:{entry} field {field!r}: {first['msg']}.") from error


def _yaml(path: Path) -> Any:
    try:
        return yaml.safe_load(_read(path))
    except yaml.YAMLError as error:
        raise UserError(f"{path} is not valid YAML ({' '.join(str(error).split())}).") from error


def _read(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        raise UserError(f"The pack lacks the file {path}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{path} is not UTF-8 text (byte {error.start}): save it as UTF-8.") from error
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error}).") from error


def _prompts(folder: Path) -> dict[str, str]:
    prompts = {}
    environment = Environment(undefined=StrictUndefined, autoescape=False)  # noqa: S701 - plain text
    for name in PROMPTS:
        path = folder / f"{name}.jinja"
        prompts[name] = _read(path)
        try:
            environment.parse(prompts[name])
        except TemplateError as error:
            raise UserError(f"{path} is not a valid Jinja template ({error}).") from error
    return prompts
