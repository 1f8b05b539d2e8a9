import pytest
from hypothesis import given
from hypothesis import strategies as st

from skillmix_tasks.checks import copies_reference, echoes_prompt, extract_answer, find_copied, is_empty
from tests.skillmix_tasks.checks.reference import rows, skills, tell

EXAMPLE = "If the lamp is lit, the keeper is home. The lamp is lit. So the keeper is home."
DEFINITION = "An argument that takes a lit lamp for a promise and a dark one for a lie."
SHORT = "The sea keeps no diary"
TINY = "Time is money"
REFERENCES = (DEFINITION, EXAMPLE, SHORT, TINY)
PROMPT = (
    "Please write a short text about lighthouses that shows these skills: red herring, modus ponens.\n"
    f"Red herring: {DEFINITION} Example: {EXAMPLE}\nBegin with 'Answer:' and explain after 'Explanation:'."
)


@pytest.mark.parametrize(
    ("text", "index"),
    [
        (EXAMPLE, 1),
        (EXAMPLE.upper().replace(".", " -"), 1),
        (f"In the harbour they say: {EXAMPLE} Nobody checks.", 1),
        ("If the lamp is lit, the cook is home. The lamp is lit. So the keeper is home.", 1),
        ("It takes a lit lamp for a promise and a dark one for a lie, my uncle said.", 0),
        ("As they say, the sea keeps no diary.", 2),
        ("Аs they say, the sеа kееps no diary.", 2),  # Cyrillic vowels
        ("As they say, the s\u200bea keeps no di\u00adary.", 2),
    ],
)
def test_copied(text: str, index: int) -> None:
    found = find_copied(text, REFERENCES)
    assert found is not None
    assert found.index == index
    assert copies_reference(text, REFERENCES)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Time is money, so mend the net.",
        "If the tide is in, the boats float. The tide is in. So the boats float.",
        "If the lamp is lit, I sleep.",
        "The keeper is home and the sea keeps its own counsel.",
        "So the keeper is home, is he?",
    ],
)
def test_not_copied(text: str) -> None:
    assert not copies_reference(text, REFERENCES)


def test_a_run_of_eight_counts_and_seven_do_not() -> None:
    reference = "one two three four five six seven eight nine ten eleven twelve thirteen fourteen fifteen sixteen"
    seven = find_copied("zero one two three four five six seven zero", [reference])
    eight = find_copied("zero one two three four five six seven eight zero", [reference])
    assert seven is None
    assert eight is not None
    assert eight.run == "one two three four five six seven eight"


@pytest.mark.parametrize("place", range(10))
def test_an_exchanged_word_hides_no_copy(place: int) -> None:
    reference = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten"]
    changed = [*reference[:place], "zero", *reference[place + 1 :]]
    assert copies_reference(" ".join(changed), [" ".join(reference)])


def test_every_third_word_exchanged_is_a_new_text() -> None:
    reference = "one two three four five six seven eight nine ten eleven twelve"
    assert find_copied("one two zero four five zero seven eight zero ten eleven zero", [reference]) is None


@pytest.mark.parametrize(
    "text",
    [
        "",
        "...",
        "…",
        "[...]",
        "[your text here]",
        "<insert answer>",
        "{minimal natural piece of text}",
        "Your answer here",
        "modus ponens",
        "Lighthouses.",
        "a short text about lighthouses that shows these skills",
        "Please write a short text about lighthouses that shows these skills: red herring, modus ponens.",
        PROMPT,
        EXAMPLE,
    ],
)
def test_echo(text: str) -> None:
    assert echoes_prompt(text, PROMPT)


@pytest.mark.parametrize(
    "text",
    [
        "Lighthouses are the sea's own exclamation marks.",
        "If the fog rolls in, the horn sounds; the fog rolls in, and so it sounds.",
        "Your lamp went out here, keeper, and with it went my ship.",
        "[The horn sounded twice.]",
        "Run!",
    ],
)
def test_no_echo(text: str) -> None:
    assert not echoes_prompt(text, PROMPT)


@pytest.mark.parametrize(("text", "expected"), [("", True), (" \u200b\n", True), ("—…!", True), ("🐝", True)])
def test_empty(text: str, expected: bool) -> None:
    assert is_empty(text) is expected


@pytest.mark.parametrize("text", ["a", "7", "蜂", "ｘ"])
def test_not_empty(text: str) -> None:
    assert not is_empty(text)


@given(st.text(), st.text())
def test_any_text_is_taken(text: str, other: str) -> None:
    copies_reference(text, [other, text])
    echoes_prompt(text, other)


@given(st.text(alphabet="abc ", min_size=1))
def test_a_text_said_back_is_an_echo(text: str) -> None:
    assert echoes_prompt(text, f"say {text} now")


def test_real_answers() -> None:
    copied = 0
    for row in rows():
        text = extract_answer(row["assistant_1"]).text
        assert not is_empty(text)
        assert not echoes_prompt(text, f"{row['user_0']}\n{row['user_1']}")
        copied += any(
            copies_reference(text, [skill["definition"], skill["example"]]) for skill in skills().values()
        )
    tell(f"{copied} of {len(rows())} real answers copy a definition or an example")
    assert copied == 0
