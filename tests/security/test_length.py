"""The length, name and copy points cannot be had by writing a text so that code misreads it.

Two thirds of the cases were used while the rules were written; the rest was held out and first run after that.
`pytest -s` prints both shares.
"""

import time
from pathlib import Path
from typing import Any

import pytest
import yaml

from grading import UserError
from skillmix_tasks.checks import (
    WORDS,
    copies_reference,
    count_sentences,
    count_words,
    names_skill,
    splitter_versions,
)
from skillmix_tasks.harness.task import SkillMixTask
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_version
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.scoring.points import check_reply
from tests.skillmix_tasks.checks.reference import rows, tell
from tests.skillmix_tasks.checks.test_naming import Skill

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("length_cases.yaml").read_text(encoding="utf-8")
)
SIMPLE = ["The hive fell", "It broke", "Bees flew", "We ran", "Nobody stayed", "The end came"]
# No word that surely begins a sentence: what is seen here is the mark alone.
NAMES = [
    "Rain drummed on the tin roof",
    "Marta counted the leaking spots",
    "Buckets filled one after another",
    "Her brother slept through everything",
    "Morning found them wet",
    "Neighbours brought dry towels",
]
# With names after it, nothing tells an open mark or a blank from an honest one; the limit on words is behind it.
HONEST_LOOK = {", ", "; ", ";; ", " — ", " ", "\u3000"}
LIMIT = 3  # sentences, at k = 4


def joined() -> list[tuple[str, bool]]:
    """Every text of six sentences, and whether it was held out."""
    texts = []
    for case in CASES["joins"]:
        for sentences in (SIMPLE, NAMES):
            if sentences is SIMPLE or case["join"] not in HONEST_LOOK:
                text = case["join"].join(sentences)
                texts.append((text.lower() if case.get("lower") else text, case.get("held_out", False)))
    return texts


def over(text: str, limit: int) -> bool:
    return count_sentences(text) > limit or count_words(text) > WORDS * limit


@pytest.mark.parametrize("held_out", [False, True])
def test_six_sentences_are_no_three(held_out: bool) -> None:
    texts = [text for text, held in joined() if held is held_out]
    passed = [text for text in texts if not over(text, LIMIT)]
    tell(f"held out {held_out}: {len(texts) - len(passed)} of {len(texts)} attacks seen")
    assert len(texts) >= 40
    assert passed == []


@pytest.mark.parametrize("case", CASES["attacks"], ids=lambda case: case["text"][:30])
def test_other_attacks(case: dict[str, Any]) -> None:
    if case.get("words"):
        assert over(case["text"], 1)
    else:
        assert count_sentences(case["text"]) >= case["count"]


@pytest.mark.parametrize("case", CASES["honest"], ids=lambda case: case["text"][:30])
def test_honest_texts(case: dict[str, Any]) -> None:
    assert count_sentences(case["text"]) == case["count"]
    assert count_words(case["text"]) <= WORDS * case["count"]


def test_there_are_enough_cases() -> None:
    for held_out in (False, True):
        honest = [case for case in CASES["honest"] if case.get("held_out", False) is held_out]
        tell(f"held out {held_out}: {len(honest)} honest texts")
    assert len(CASES["honest"]) >= 40
    assert len(CASES["joins"]) + len(CASES["attacks"]) >= 40


def test_the_longest_real_answer_is_far_below_the_limit_on_words() -> None:
    most = max(
        count_words(row[text]) / count_sentences(row[text]) for row in rows() for text in ("text_0", "text_1")
    )
    tell(f"{most:.0f} words for a sentence at most")
    assert most * 1.5 < WORDS


@pytest.mark.parametrize(
    ("text", "lost"),
    [
        ("., ".join(SIMPLE), "6 sentences"),
        ("and so it went " * 60, f"240 words, more than {WORDS} for each sentence allowed"),
        ("The hive fell, so we ran.", None),
    ],
)
def test_the_length_point_is_lost(text: str, lost: str | None) -> None:
    (item,) = sample_items(load_pack("language"), task="t", k=4, split="all", seed=0, number=1)
    found = check_reply(item, f"Answer: {text}\nExplanation: x", ["Write."]).lost
    assert {point: str(loss) for point, loss in found.items()}.get("length") == lost


def test_results_name_the_splitters_and_one_version() -> None:
    config = {"task": "mine", "skillmix": {"k": 2, "split": "all", "pack": "language"}, "metadata": {}}
    record = SkillMixTask(config).dump_config()["metadata"]
    assert record["version"] == tasks_version()
    assert record["skillmix"]["splitters"] == splitter_versions()
    assert set(splitter_versions()) == {"sentencex", "nupunkt"}
    assert all(spec.full_version == tasks_version() for spec in bundled_tasks().values())


def test_a_task_file_of_the_users_own_cannot_replace_the_version() -> None:
    own = {"k": 2, "split": "all", "pack": "language", "version": "9"}
    task = SkillMixTask({"task": "mine", "skillmix": own, "metadata": {}})
    assert task.dump_config()["metadata"]["version"] == f"{tasks_version()}-9"
    with pytest.raises(UserError, match=r"mine is invalid under `skillmix` \(versoin: "):
        SkillMixTask({"task": "mine", "skillmix": own | {"versoin": "9"}, "metadata": {}})


HERRING, METAPHOR = Skill("red herring"), Skill("metaphor")


@pytest.mark.parametrize(
    "text",
    [
        *(
            "meta<b>phor</b>",
            "meta&shy;phor",
            "meta<!-- -->phor",
            "meta<wbr>phor",
            "&#109;etaphor",
            "&amp;#109;etaphor",
        ),
        *("meta&ZeroWidthSpace;phor", '<b title="a metaphor">x</b>', "m|e|t|a|p|h|o|r", "meta\\phor", "rnetaphor"),
        *(
            "🇲🇪🇹🇦🇵🇭🇴🇷",
            "🅼🅴🆃🅰🅿🅷🅾🆁",
            "ɱɛtɑpɦɔr",
            "ꓟꓰꓔꓮꓑꓧꓳꓣ",
            "ᎷᎬᎢᎪᏢᎻOᎡ",
            "ⲙetaphοr",
            "mεtαphοr",
            "⒨⒠⒯⒜⒫⒣⒪⒭",
            "ₘₑₜₐₚₕₒᵣ",
        ),
    ],
)
def test_a_name_is_seen_in_any_dress(text: str) -> None:
    assert names_skill(f"such a {text} it was", METAPHOR)


@pytest.mark.parametrize(
    "text",
    [
        "#RedHerringAlert",
        "aRedHerringHere",
        "red<br>herring",
        "r&#101;d h&eacute;rring",
        "red🐟herring",
        "red\u2063herring",
    ],
)
def test_joined_and_parted_names(text: str) -> None:
    assert names_skill(text, HERRING)


@pytest.mark.parametrize(("name", "text"), [("irony", "lrony"), ("allegory", "an aIIegory")])
def test_letters_of_one_alphabet_that_look_alike(name: str, text: str) -> None:
    assert names_skill(text, Skill(name))


@pytest.mark.parametrize(
    "text", ["A red scarf &amp; a herring.", "A modem for the ironic.", "The redHer ring.", "a < b > c"]
)
def test_honest_texts_name_nothing(text: str) -> None:
    assert not any(names_skill(text, skill) for skill in (HERRING, METAPHOR, Skill("irony")))


EXAMPLE = (
    "If the lamp in the tower is lit then the keeper must be home and the lamp is lit tonight so the old keeper"
    " must be home"
)


@pytest.mark.parametrize("start", range(6))
def test_one_word_in_six_exchanged_is_a_copy(start: int) -> None:
    words = ["zebra" if place % 6 == start else word for place, word in enumerate(EXAMPLE.split())]
    assert copies_reference(" ".join(words), [EXAMPLE])


@pytest.mark.parametrize(
    "text",
    [
        EXAMPLE.replace(" ", ""),
        EXAMPLE.replace("the lamp", "thelamp").replace("is lit", "islit").replace("keeper must", "keepermust"),
        EXAMPLE.replace("e", "&#101;"),
        EXAMPLE.replace("lamp", "la<b>m</b>p").replace("keeper", "kee per"),
        EXAMPLE.replace("a", "а").replace("e", "ɛ"),
    ],
)
def test_a_copy_in_any_dress(text: str) -> None:
    assert copies_reference(text, [EXAMPLE])


def test_a_new_text_of_the_same_form_is_no_copy() -> None:
    text = "If the tide in the bay is high then the boats must float and the tide is high now so the boats float"
    assert not copies_reference(text, [EXAMPLE])


@pytest.mark.parametrize(
    "text",
    [
        " | " * 5_000,
        "a." * 10_000,
        ".," * 10_000,
        "a·" * 10_000,
        "&#" * 10_000,
        "<b" * 10_000,
        "a,\n" * 5_000,
        ":" * 20_000,
    ],
)
def test_a_hostile_text_takes_linear_time(text: str) -> None:
    start = time.process_time()
    count_sentences(text)
    assert time.process_time() - start < 5
