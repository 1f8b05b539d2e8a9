"""Hard texts for the count of sentences and the naming check, of which a third is held out."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
import yaml

from skillmix_tasks.checks import count_sentences, names_skill
from tests.skillmix_tasks.checks.reference import tell
from tests.skillmix_tasks.checks.test_naming import Skill

FILE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("hard_texts.yaml").read_text(encoding="utf-8"))


def held_out(text: str) -> bool:
    return hashlib.sha256(text.encode()).digest()[0] % 3 == 0


COUNTED: list[tuple[str, int]] = [(text, count) for count, texts in FILE["sentences"].items() for text in texts]
NAMED: list[tuple[str, Skill, bool]] = [
    (text, Skill(skill["name"], tuple(skill["aliases"])), expected)
    for skill in FILE["named"]
    for key, expected in ((True, True), (False, False))
    for text in skill[key]
]


@pytest.mark.parametrize("held", [False, True])
def test_sentences(held: bool) -> None:
    part = [(text, count) for text, count in COUNTED if held_out(text) is held]
    wrong = [(text, count, count_sentences(text)) for text, count in part if count_sentences(text) != count]
    tell(f"sentences, held out {held}: {len(part) - len(wrong)} of {len(part)}; wrong: {[] if held else wrong}")
    assert len(COUNTED) >= 80
    assert len(wrong) <= len(part) * 0.1


@pytest.mark.parametrize("held", [False, True])
def test_names(held: bool) -> None:
    part = [case for case in NAMED if held_out(case[0]) is held]
    wrong = [(text, skill.name) for text, skill, expected in part if names_skill(text, skill) is not expected]
    tell(f"names, held out {held}: {len(part) - len(wrong)} of {len(part)}; wrong: {[] if held else wrong}")
    assert len(NAMED) >= 80
    assert len(wrong) <= len(part) * 0.1
