import time
from dataclasses import dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillmix_tasks.checks import Named, find_named, names_skill
from tests.skillmix_tasks.checks.reference import rows, skills


@dataclass(frozen=True)
class Skill:
    name: str
    aliases: tuple[str, ...] = ()


HERRING, METAPHOR = Skill("red herring"), Skill("metaphor")
ACCIDENT = Skill("accident (fallacy)", ("fallacy of accident",))
LOADED = Skill("complex question (loaded question with implicit assumption)", ("loaded question",))
NAMED: list[tuple[Named, str]] = [
    (HERRING, "That is a red herring."),
    (HERRING, "RED HERRINGS everywhere"),
    (HERRING, "a red-herring"),
    (HERRING, "a red_herring"),
    (HERRING, "a red—herring"),
    (HERRING, "a red  \n herring"),
    (HERRING, "a redherring"),
    (HERRING, "a RedHerring"),
    (HERRING, "a red\u200bherring"),
    (HERRING, "a red\u00a0herring"),
    (HERRING, 'a "red" herring'),
    (HERRING, "a red, herring"),
    (HERRING, "a r e d herring"),
    (HERRING, "r.e.d h-e-r-r-i-n-g"),
    (HERRING, "the red herring's tail"),
    (HERRING, "the red herrings' tails"),
    (HERRING, "a **red** *herring*"),
    (METAPHOR, "a meta\u200bphor"),
    (METAPHOR, "a meta\u00adphor"),
    (METAPHOR, "a me\u202etaphor"),
    (METAPHOR, "a me\u034ftaphor"),
    (METAPHOR, "a meta-phor"),
    (METAPHOR, "a **meta**phor"),
    (METAPHOR, "a meta-\nphor"),
    (METAPHOR, "a m e t a p h o r"),
    (METAPHOR, "a mеtарhor"),  # Cyrillic е, а, р
    (METAPHOR, "a ΜΕΤΑΡΗΟR"),  # Greek capitals
    (METAPHOR, "a ｍｅｔａｐｈｏｒ"),
    (METAPHOR, "a 𝐦𝐞𝐭𝐚𝐩𝐡𝐨𝐫"),
    (METAPHOR, "a ᴍᴇᴛᴀᴘʜᴏʀ"),
    (METAPHOR, "a m̶e̶t̶a̶p̶h̶o̶r̶"),
    (METAPHOR, "a métaphor"),
    (METAPHOR, "metaphor-like"),
    (METAPHOR, "Metaphors."),
    (Skill("irony"), "such ironies"),
    (Skill("hypothesis"), "two hypotheses"),
    (Skill("bias"), "our biases"),
    (Skill("synecdoche"), "synecdoches"),
    (Skill("actor observer bias"), "the actor-observer biases"),
    (Skill("self-serving bias"), "self serving bias"),
    (Skill("fallacy of division"), "fallacies of division"),
    (Skill("cliché"), "what a cliche"),
    (ACCIDENT, "an accident fallacy"),
    (ACCIDENT, "an accident (fallacy)"),
    (ACCIDENT, "the fallacy of accident"),
    (LOADED, "what a loaded question"),
]
NOT_NAMED: list[tuple[Named, str]] = [
    (METAPHOR, "metaphorical"),
    (METAPHOR, "metaphorically speaking"),
    (METAPHOR, "a meta phor"),
    (METAPHOR, "m3taphor"),
    (METAPHOR, ""),
    (Skill("irony"), "how ironic"),
    (Skill("irony"), "an iron yoke"),
    (Skill("irony"), "gridirony"),
    (Skill("anaphora"), "cataphorally, and anaphoral"),
    (Skill("aside"), "a side dish"),
    (Skill("pun"), "a punt on the river"),
    (HERRING, "The boat was red. Herring filled it."),
    (HERRING, "red and herring"),
    (HERRING, "a bored herring"),
    (HERRING, "a red herringbone coat"),
    (ACCIDENT, "It was an accident."),
    (LOADED, "That is a complex question."),
    (Skill("...", ("", "\u200b", "-")), "anything ... at - all"),
]


@pytest.mark.parametrize(("skill", "text"), NAMED)
def test_named(skill: Named, text: str) -> None:
    assert names_skill(text, skill)


@pytest.mark.parametrize(("skill", "text"), NOT_NAMED)
def test_not_named(skill: Named, text: str) -> None:
    assert not names_skill(text, skill)


def test_the_form_found_is_told() -> None:
    assert find_named("Two RED-\nHerrings swam.", HERRING) == "red- herrings"
    assert find_named("The fallacy of accident.", ACCIDENT) == "fallacy of accident"
    assert find_named("Nothing.", ACCIDENT) is None


NAMES = [skill.name for skill, _ in NAMED]


@given(st.text(), st.text())
def test_any_text_and_any_name_are_taken(text: str, name: str) -> None:
    names_skill(text, Skill(name, (text,)))


@given(st.sampled_from(NAMES), st.text(), st.text())
def test_a_name_between_spaces_is_always_found(name: str, before: str, after: str) -> None:
    assert names_skill(f"{before} {name} {after}", Skill(name))


def test_a_long_text_takes_linear_time() -> None:
    for text in ("red " * 20_000, "r e d " * 20_000, "m-" * 40_000, "red" + ".'" * 40_000, "a " * 50_000):
        start = time.process_time()
        names_skill(text, HERRING)
        names_skill(text, METAPHOR)
        assert time.process_time() - start < 5


def test_real_answers() -> None:
    """Two of the 120 real texts name a skill, both the same one and with a hyphen."""
    found = [
        find_named(row[column], Skill(name))
        for row in rows()
        for column in ("text_0", "text_1")
        for name in skills()
    ]
    assert [form for form in found if form] == ["emotional self-regulation"] * 2
