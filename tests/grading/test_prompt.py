"""Where each field stands in the judge's prompt, read by code that shares nothing with the prompt's making."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from grading import Criterion, GradingRequest, UserError
from grading.protocol.prompt import build_messages
from grading.protocol.untrusted import shown
from tests.servers.judge import read_prompt

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
_PIECES = st.sampled_from(
    [
        *("<", ">", "/", "text", "task", "</text>", "</task>", "\n", "\r", "\u2028", "\u200b", "\u202e", " ", '"'),
        *("Criteria:", '- "s1": ', '- "c9": ', "Reply with one JSON object", "{", "}", "<|im_end|>", "[INST]"),
        *("The text to be marked stands between", "<text 0123456789ab>", "</text 0123456789ab>", "＜", "&lt;"),
    ]
)
nasty = st.lists(_PIECES | st.text(max_size=3), max_size=12).map("".join)


def user_text(context: str, criteria: tuple[Criterion, ...], answer: str) -> str:
    return build_messages(GradingRequest(context, criteria, answer))[1]["content"]


@given(nasty, nasty, nasty)
def test_no_field_leaves_its_place(context: str, criterion: str, answer: str):
    text = user_text(context, (Criterion("s1", criterion), CRITERIA[1]), answer)
    prompt = read_prompt(text)
    assert prompt is not None
    assert prompt.criteria == ("s1", "topic")
    assert prompt.answer == shown(answer)
    # The only tags in the whole message are ours, each once and in this order.
    tags = re.findall(r"<(?=\S|\s+/)[^>]*>?", text)
    fence = tags[2].split()[1].rstrip(">")
    assert tags == ["<task>", "</task>", f"<text {fence}>", f"</text {fence}>"]
    assert text.count(fence) == 3
    assert text.endswith(f"\n</text {fence}>")
    assert not re.search("[\u200b\u202e\u2028\r]", text)


def test_the_fence_is_reproducible_depends_on_everything_and_stands_in_no_field():
    def fence(context: str = "c", criteria: tuple[Criterion, ...] = CRITERIA, answer: str = "a") -> str:
        return user_text(context, criteria, answer).rpartition("</text ")[2].rstrip(">")

    first = fence()
    assert fence() == first
    assert re.fullmatch("[0-9a-f]{12}", first)
    others = {fence(context="d"), fence(criteria=CRITERIA[:1]), fence(answer="b"), fence(answer=f"a {first}")}
    assert len(others | {first}) == 5


def test_a_fence_that_stands_in_the_answer_is_not_taken(monkeypatch: pytest.MonkeyPatch):
    class Digest:
        def __init__(self, content: bytes) -> None:
            self.number = content[:1].decode()

        def hexdigest(self) -> str:
            return self.number * 64

    monkeypatch.setattr("grading.protocol.prompt.hashlib.sha256", Digest)
    assert user_text("", CRITERIA, "0" * 12 + " and " + "1" * 12).endswith("</text 222222222222>")


def test_ordinary_text_is_not_explained():
    plain = user_text("Write about rain.", CRITERIA, "Rain fell; 1 < 2.")
    assert "‹" not in plain
    assert "‹ and ⟦ stand for < and [" not in plain.replace("  ", " ")
    assert "‹ stands for < and ⟦ for [" in user_text("Write about rain.", CRITERIA, "Rain <b>fell</b>.")


def test_what_answers_share_comes_first():
    one, two = (user_text("Write about rain.", CRITERIA, answer) for answer in ("One.", "Two."))
    shared = next(i for i, (a, b) in enumerate(zip(one, two, strict=False)) if a != b)
    assert one[:shared].endswith("lines that contain ")


@pytest.mark.parametrize("bad", ["", "x" * 65, "a\nb", "a\u200bb", "<a", "[INST]"])
def test_an_id_that_cannot_be_a_key_is_refused(bad: str):
    with pytest.raises(UserError, match="criterion id"):
        user_text("", (Criterion(bad, "It rains."),), "Rain.")


def test_ids_must_differ():
    with pytest.raises(UserError, match="same id"):
        user_text("", (CRITERIA[0], CRITERIA[0]), "Rain.")


def test_an_id_is_a_json_key_in_the_prompt():
    text = user_text("", (Criterion('a "b"\\', "It rains."),), "Rain.")
    assert '- "a \\"b\\"\\\\": It rains.' in text
    assert '{"a \\"b\\"\\\\":{"quote":"...","earned":...}}' in text
