"""A directory in the reference implementation's own format as a pack.

    skills.csv                      category, skill, definition, example, and columns that are not read
    topics.txt                      a topic a line
    prompts/generation/default.json the student's prompts of the two turns, used unchanged

Its grading prompt is not used: it requests a table, and the project's own prompt requests a verdict with evidence.
The split is the second paper's: literary and rhetorical skills are train, the others held-out. Topics have none.
"""

from __future__ import annotations

import re
from pathlib import Path

from grading import UserError
from grading.safety.bounds import load_json
from skillmix_tasks.items.pack import About, Pack, Skill, Topic, bundled_packs
from skillmix_tasks.items.pack_files import read_prompts, read_rows, read_text, refuse_twice, validated

_TRAIN = ("literary", "rhetorical")
# The reference's placeholders, as templates that give the same text.
_PLACEHOLDERS = {
    "{topic}": "{{ topic }}",
    "{skills_str}": '{{ skills|map(attribute="name")|join(", ") }}',
    "{num_sentences_str}": "{{ limit }}",
    "{skills_defs_and_examples_simple}": (
        "{% for skill in skills %}**{{ skill.name }}**: {{ skill.definition }} For example, {{ skill.example }}"
        '{% if not loop.last %}{{ "\\n" }}{% endif %}{% endfor %}'
    ),
}


def is_reference_pack(folder: Path) -> bool:
    """Whether `folder` has the reference's files and none of ours."""
    return not (folder / "pack.yaml").exists() and (folder / "topics.txt").is_file()


def read_reference_pack(folder: Path) -> Pack:
    """The pack in `folder`, in the reference's format."""
    path = folder / "skills.csv"
    rows = read_rows(path)
    for column in ("category", "skill", "definition", "example"):
        for number, row in enumerate(rows, start=1):
            if column not in row:
                raise UserError(f"{path}: entry {number} ({row.get('skill')}) has nothing under {column!r}.")
    skills = tuple(
        validated(
            Skill,
            {name: row[name] for name in ("category", "definition", "example")}
            | {"id": _slug(row["skill"]), "name": row["skill"]},
            path,
            number,
        )
        for number, row in enumerate(rows, start=1)
    )
    names = [line.strip() for line in read_text(folder / "topics.txt").splitlines() if line.strip()]
    topics = tuple(
        validated(Topic, {"id": _slug(name), "name": name, "split": "none"}, folder / "topics.txt", number)
        for number, name in enumerate(names, start=1)
    )
    if not skills or not topics:
        raise UserError(f"{folder} has no skills or no topics: name a complete checkout.")
    refuse_twice((skill.id for skill in skills), "skill", path)
    refuse_twice((topic.id for topic in topics), "topic", folder / "topics.txt")
    categories = {skill.category for skill in skills}
    about = About(
        id=_slug(folder.resolve().name),
        title=f"Pack in the reference's format: {folder.name}",
        version="1",
        license="unknown",
        train_categories=tuple(sorted(categories & set(_TRAIN))),
        heldout_categories=tuple(sorted(categories - set(_TRAIN))),
    )
    return Pack(about=about, skills=skills, topics=topics, prompts=_prompts(folder))


def _prompts(folder: Path) -> dict[str, str]:
    path = folder / "prompts" / "generation" / "default.json"
    try:
        turns = load_json(read_text(path))
    except ValueError as error:
        raise UserError(f"{path} is not valid JSON ({error}).") from error
    if not isinstance(turns, list) or len(turns) != 2 or not all(isinstance(turn, str) for turn in turns):
        raise UserError(f"{path} is not a list of two prompts, one for each turn.")
    ours = read_prompts(bundled_packs()["language"] / "prompts")
    return ours | {"turn1": _template(turns[0], path), "turn2": _template(turns[1], path)}


def _template(prompt: str, path: Path) -> str:
    def fill(match: re.Match[str]) -> str:
        if match[0] not in _PLACEHOLDERS:
            raise UserError(f"{path}: the placeholder {match[0]} is not one of {', '.join(_PLACEHOLDERS)}.")
        return _PLACEHOLDERS[match[0]]

    return re.sub(r"\{\w+\}", fill, prompt)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")
