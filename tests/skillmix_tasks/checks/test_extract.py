import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillmix_tasks.checks import ExtractionState, extract_answer
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import bundled_packs
from tests.skillmix_tasks.checks.reference import rows
from tests.skillmix_tasks.checks.test_naming import Skill

BEES = "The bees left at dawn, and so did my patience."
PLAIN = [
    f"Answer: {BEES}\n\nExplanation: It is about bees.",
    f"**Answer:** {BEES}\n\n**Explanation:** It is about bees.",
    f"**Answer:**\n{BEES}\n\n**Explanation:**\n- bees",
    f"**Answer**: {BEES}\n**Explanation**: bees",
    f"*Answer:* {BEES}\n*Explanation:* bees",
    f"## Answer\n\n{BEES}\n\n## Explanation\n\nbees",
    f"### Answer:\n{BEES}\n### Explanation of the skills:\nbees",
    f"Answer - {BEES}\nExplanation - bees",
    f"ANSWER: {BEES}\nEXPLANATION: bees",
    f"answer : {BEES}\nexplanation : bees",
    f"Answer：{BEES}\nExplanation：bees",
    f"1. Answer: {BEES}\n2. Explanation: bees",
    f"- **Answer:** {BEES}\n- **Explanation:** bees",
    f"> Answer: {BEES}\n>\n> Explanation: bees",
    f"Certainly! Here is a better one:\n\nImproved Answer: {BEES}\n\nExplanation: bees",
    f"The improved answer (shorter): {BEES}\nBrief explanation: bees",
    f"Sure! Answer: {BEES} Explanation: bees",
    f"Here you are: Answer: {BEES} **Explanation:** bees",
    f'Answer: "{BEES}" Explanation: bees',
    f'Answer: "{BEES}"\n\nExplanation: bees',
    f"Answer: “{BEES}”\n\nExplanation: bees",
    f"Answer: ‘{BEES}’\nExplanation: bees",
    f"Answer: «{BEES}»\nExplanation: bees",
    f'Answer: **"{BEES}"**\nExplanation: bees',
    f"**Answer: {BEES}**\nExplanation: bees",
    f"Answer:\n> {BEES}\n\nExplanation: bees",
    f"Answer:\n---\n{BEES}\n---\nExplanation: bees",
    f"```\nAnswer: {BEES}\nExplanation: bees\n```",
    f"Answer:\n```text\n{BEES}\n```\nExplanation: bees",
    f"An\u200bswer: \ufeff{BEES}\u200b\nExpl\u00adanation: bees",
    f"Answer: {BEES}\n\n**Explanation of how each skill is shown**\n\nbees",
    f"[Answer]: {BEES}\n[Explanation]: bees",
    f"Answer: {BEES}\r\n\r\nExplanation: bees",
    f"<think>Answer: wasps\nExplanation: no</think>Answer: {BEES}\nExplanation: bees",
    f"I try.\nAnswer: wasps\nExplanation: no</think>\nAnswer: {BEES}\nExplanation: bees",
    f"<think>a<think>b</think>c</think>\nAnswer: {BEES}",
    f"Answer: {BEES}",
    f"\n\n  Answer:   {BEES}  \n\n",
]


@pytest.mark.parametrize("reply", PLAIN)
def test_one_answer(reply: str) -> None:
    found = extract_answer(reply)
    assert (found.text, found.state) == (BEES, ExtractionState.FOUND)


@pytest.mark.parametrize(
    "text",
    [
        "The answer: is it the sting, or the honey?",
        "He had an explanation: the queen was old.",
        "He had no answer - and no explanation - for the silence.",
        "First line,\nsecond line,\n\nthird line.",
        '"Go," he said, "before they swarm."',
        '"Smoke!" "Where?"',
        'She said "no" to the honey.',
        '“All hives hum; this is a hive, thus it hums," Tom said, then added, "or not."',
        "'Tea?' he asked. 'Yes.'",
        "*Apis* is a name; it is not an *answer*.",
        "We waited for the\nanswer\nto arrive.",
        "We sought an\nexplanation of bees\nand found honey.",
        "Explanation of bees\nis not my trade.",
        "Explanations are like bees, and answers like stings.",
    ],
)
def test_what_is_no_marker_and_no_wrapping_stays(text: str) -> None:
    found = extract_answer(f"Answer: {text}\n\nExplanation: bees")
    assert (found.text, found.state) == (text, ExtractionState.FOUND)


def test_quotes_inside_wrapping_quotes_stay() -> None:
    assert extract_answer('Answer: "He said "no" to me."\nExplanation: x').text == 'He said "no" to me.'


def test_no_marker_takes_all_before_the_explanation() -> None:
    found = extract_answer(f"{BEES}\n\nExplanation: bees")
    assert (found.text, found.state) == (BEES, ExtractionState.NO_MARKER)
    assert extract_answer(BEES).state is ExtractionState.NO_MARKER


@pytest.mark.parametrize(
    "reply",
    [
        f"Original answer: Wasps.\n\nImproved answer: {BEES}\n\nExplanation: better",
        f"Answer: Wasps.\nExplanation: meh\n\nAnswer: {BEES}\nExplanation: better",
        f"Answer: {BEES}\nExplanation: better\n\nFinal answer: Wasps.",
        f"Answer: Wasps.\n\nAnswer: {BEES}",
        f"Answer: Wasps.\nAnswer: {BEES}\nExplanation: x\nAnswer: ...\nExplanation: y",
    ],
)
def test_the_last_complete_answer_is_chosen(reply: str) -> None:
    found = extract_answer(reply)
    assert (found.text, found.state) == (BEES, ExtractionState.SEVERAL_MARKERS)


def test_a_doubled_marker_is_one_answer() -> None:
    assert extract_answer(f"## Answer\n\n**Answer:** {BEES}\n\nExplanation: x").state is ExtractionState.FOUND


@pytest.mark.parametrize(
    "reply",
    [
        "",
        " \n\u200b",
        "Answer:",
        "Answer:\n\nExplanation: bees",
        "Explanation: bees",
        "Answer: ...\nExplanation: x",
        "<think>Answer: wasps",
        "<thinking>\nno end, no answer\nAnswer: wasps\nExplanation: no",
    ],
)
def test_empty(reply: str) -> None:
    found = extract_answer(reply)
    assert (found.text, found.state) == ("", ExtractionState.EMPTY)


@pytest.mark.parametrize("mark", ["\nExplanation:", "\n**Explanation:**", "\n## Explanation\n", " Explanation:"])
@pytest.mark.parametrize("text", [BEES, "The bees left", '"The bees left"'])
def test_nothing_after_the_explanation_gets_in(text: str, mark: str) -> None:
    assert "SECRET" not in extract_answer(f"Answer: {text}{mark} SECRET\nSECRET Explanation: SECRET").text


@given(st.text())
def test_any_reply_is_taken(reply: str) -> None:
    found = extract_answer(reply)
    assert (found.text == "") == (found.state is ExtractionState.EMPTY)


def test_real_replies() -> None:
    """What the reference took from them is the same text but for quotation marks and dangling asterisks."""
    for row in rows():
        for turn in ("0", "1"):
            found = extract_answer(row[f"assistant_{turn}"])
            assert found.state is ExtractionState.FOUND
            theirs = row[f"text_{turn}"].strip("* \n")
            assert found.text in (theirs, theirs[1:-1])


def test_hostile_replies_take_linear_time() -> None:
    number = 20_000
    for unit in (
        *(
            "Answer: ",
            "Answer:\n",
            "\nExplanation",
            ". Explanation: a",
            "here is ",
            "my my my ",
            "{",
            '{"answer": "',
            "<b>",
        ),
        *(
            '{"a":',
            "\n\n",
            " \n",
            "\n- a",
            "\n\nnote",
            "Here is the passage ",
            "* ",
            "a ",
            "'",
            '"',
            "(1 words)",
            "\n---",
        ),
        *(
            "\nwhere each skill ",
            "<answer>",
            "</answer>",
            "Sure, ",
            "> ",
            "\n\nIn this passage, a",
            ". ",
            "[",
            "\nUser:",
        ),
    ):
        start = time.process_time()
        extract_answer((unit * number)[:number])
        extract_answer("Answer: x" + (unit * number)[:number])
        assert time.process_time() - start < 10, unit


def test_a_million_blank_lines_are_read_in_no_time() -> None:
    start = time.process_time()
    assert extract_answer(f"Answer: {BEES}" + "\n" * 1_000_000 + "Explanation: x").text == BEES
    assert time.process_time() - start < 5


@pytest.mark.parametrize("pack", sorted(bundled_packs()))
def test_who_did_as_asked_loses_nothing_to_the_reader(pack: str) -> None:
    for skill in load_pack(pack).skills:
        example, definition = skill.example, skill.definition
        for text in (example, f"{example}\n\n{definition}", f"{definition}\n{example}"):
            found = extract_answer(f"Answer: {text}\n\nExplanation: {definition}", [skill])
            assert found.text in (text, text[1:-1])
            assert found.state is ExtractionState.FOUND


@pytest.mark.parametrize(
    "reply",
    [
        f"Here is my revised passage with three sentences: {BEES}\n\nExplanation: x",
        f"Answer: {BEES}\n\nExplication des compétences : x",
        f"Answer: {BEES}\n\nMetaphor: the bees are\nIrony: x",
        f'Answer: {BEES}\n\n"Left at dawn" shows the metaphor skill.',
        f"Réponse améliorée : {BEES}\n\nExplication : x",
        f"Verbesserte Antwort: {BEES}\n\nErklärung: x",
        f"改进后的答案：{BEES}\n\n解释：x",
        f"Improved Passage:\n{BEES}\n\nImprovements made:\n- x",
        f"Answer: {BEES}\n\n<details><summary>Explanation</summary>x</details>",
        f"\\boxed{{{BEES}}}",
        f"🐝 Answer: {BEES}\n\n📝 Explanation: x",
        f"Answer: {BEES} [Explanation: x]",
        f"Answer: {BEES}\n\nThe metaphor is in the bees, and the irony is at the end.",
    ],
)
def test_further_habits(reply: str) -> None:
    assert extract_answer(reply, [Skill("metaphor"), Skill("irony")]).text == BEES
