"""Files as a stranger would write them: packs and answers files."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import yaml

from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack

ABOUT = {
    "id": "foreign",
    "title": "Foreign",
    "version": "1",
    "license": "CC0-1.0",
    "train_categories": ["a"],
    "heldout_categories": ["b"],
}
SKILLS = [
    {
        "id": f"skill-{letter}",
        "name": f"skill {letter}",
        "category": "ab"[number % 2],
        "definition": f"A text does what {letter} does.",
        "example": f"One day {letter.upper()} came home.",
    }
    for number, letter in enumerate("uvwxyz")
]
TOPICS = [{"id": name, "name": name.title(), "split": "train"} for name in ("rain", "wind", "snow")]
HONEST = "Write about {{ topic }}: {% for skill in skills %}{{ skill.name }}, {{ skill.definition }} {% endfor %}"


def write_pack(folder: Path, template: str = HONEST, **parts: Any) -> Path:
    """A pack whose four prompts are `template`; `parts` take the place of its skills, topics and about."""
    (folder / "prompts").mkdir(parents=True)
    data = {"pack": ABOUT, "skills": SKILLS, "topics": TOPICS} | parts
    for name, part in data.items():
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(part))
    for name in ("turn1", "turn2", "single", "judge"):
        (folder / "prompts" / f"{name}.jinja").write_text(template)
    return folder


def write_answers_file(path: Path, **changes: Any) -> Path:
    """An answers file with one item of skillmix_k2, whose header has `changes`; of its settings those given."""
    [item] = sample_items(load_pack("language"), task="skillmix_k2", k=2, split="all", seed=0, number=1)
    header = {
        "skillmix_answers": 1,
        "task": "skillmix_k2",
        "version": "1.0",
        "student": {"class": None, "model": "student-1"},
        "settings": {"items": 1},
        "judge": [{"model": "judge-1"}],
        "pack_hash": "0" * 16,
        "turns": 1,
        "system_instruction": None,
        "generation_kwargs": {},
        "rank": 0,
        "world_size": 1,
    } | changes
    answers = [
        {"index": 0, "hash": item.hash, "generation": generation, "replies": [f"Answer: Rain {generation} fell."]}
        for generation in range(3)
    ]
    path.write_text("".join(json.dumps(record) + "\n" for record in (header, *answers)))
    return path
