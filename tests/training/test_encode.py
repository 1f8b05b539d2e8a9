"""Which tokens carry loss, and what becomes of rows that are too long."""

from __future__ import annotations

from pathlib import Path

import datasets
import pytest

from grading import UserError
from tests.tiny_model import byte_tokenizer
from tests.training.tuning import write_tiny_data
from training.data.source import open_source
from training.tune.encode import IGNORED, encode, tokenizer_identity
from training.tune.lengths import Lengths, OnTooLong, check_policy, fit
from training.tune.marking import marked_template

TOKENIZER = byte_tokenizer()
TEMPLATE = marked_template(TOKENIZER)


def rows(*texts: dict[str, object]) -> datasets.Dataset:
    return datasets.Dataset.from_list([{"messages": [], "text": ""} | text for text in texts])


def chat(*said: str) -> dict[str, object]:
    return {
        "messages": [
            {"role": ("user", "assistant")[number % 2], "content": text} for number, text in enumerate(said)
        ]
    }


def test_the_answers_and_the_plain_text_carry_loss(tmp_path: Path):
    source = open_source(str(write_tiny_data(tmp_path / "data")), None)
    encoded = encode(source.train, TOKENIZER, TEMPLATE)
    texts = sum(row["source"] != "mix" for row in source.train)
    assert 30 <= texts < 40
    assert (encoded.turns, encoded.mixed) == ({2: texts}, len(source.train) - texts)
    assert encoded.mixed > 0
    assert encoded.lengths == [len(tokens) for tokens in encoded.rows["input_ids"]]
    for row, made in zip(source.train, encoded.rows, strict=True):
        learned = TOKENIZER.decode([label for label in made["labels"] if label != IGNORED])
        whole = TOKENIZER.decode(made["input_ids"])
        if row["source"] == "mix":
            assert learned == whole == row["text"] + "</s>"
        else:
            answers = [message["content"] for message in row["messages"][1::2]]
            assert learned == "".join(f"{answer}</s>" for answer in answers)
            assert whole == TOKENIZER.apply_chat_template(row["messages"], tokenize=False)
        for token, label in zip(made["input_ids"], made["labels"], strict=True):
            assert label in (token, IGNORED)


def test_the_fingerprint_is_that_of_what_the_rows_say():
    one = encode(rows(chat("a", "b"), {"text": "c"}), TOKENIZER, TEMPLATE).fingerprint
    assert one == encode(rows(chat("a", "b"), {"text": "c"}), TOKENIZER, TEMPLATE).fingerprint
    assert one != encode(rows({"text": "c"}, chat("a", "b")), TOKENIZER, TEMPLATE).fingerprint
    assert one != encode(rows(chat("a", "B"), {"text": "c"}), TOKENIZER, TEMPLATE).fingerprint


@pytest.mark.parametrize("empty", [{}, chat("a question alone")])
def test_a_row_with_nothing_to_learn(empty: dict[str, object]):
    with pytest.raises(UserError, match="The row number 1 has neither"):
        encode(rows(chat("a", "b"), empty), TOKENIZER, TEMPLATE)


@pytest.mark.parametrize(
    ("data", "sentence"),
    [
        (
            {"prompt": ["a"], "completion": ["b"]},
            "none `text`: it has prompt, completion",
        ),
        ({"messages": ["a chat"]}, "The row number 0 is invalid: `messages` is a list"),
        ({"messages": [[{"role": "assistant", "content": None}]]}, r"\(entry 1, content: text is expected"),
        ({"text": [1]}, "`text` is text"),
    ],
)
def test_rows_of_another_form(data: dict[str, list[object]], sentence: str):
    with pytest.raises(UserError, match=sentence):
        encode(datasets.Dataset.from_dict(data), TOKENIZER, TEMPLATE)


def test_a_row_that_the_template_does_not_take():
    picky = "{% if messages[0].role == 'user' %}{{ raise_exception('no system prompt') }}{% endif %}" + TEMPLATE
    with pytest.raises(UserError, match=r"does not take the row number 0 \(no system prompt\)"):
        encode(rows(chat("a", "b")), TOKENIZER, picky)


def test_another_end_token_is_another_tokenizer():
    changed = byte_tokenizer()
    changed.eos_token = changed.bos_token = "<|user|>"
    assert tokenizer_identity(changed) != tokenizer_identity(TOKENIZER)
    [row] = encode(rows({"text": "c"}), changed, TEMPLATE).rows
    assert row["input_ids"][-1] == changed.eos_token_id != TOKENIZER.eos_token_id


LONG = chat("ask", "x" * 20, "again", "y" * 60)  # 96 tokens, the second answer from the 36th
LATE = chat("ask " * 20, "x")  # no answer within the limit


@pytest.mark.parametrize(
    ("policy", "kept", "left_out"),
    [("drop", ["bc</s>"], 2), ("truncate", ["bc</s>", "x" * 20 + "</s>" + "y" * 7], 1)],
)
def test_rows_that_are_too_long(policy: OnTooLong, kept: list[str], left_out: int):
    encoded = encode(rows(chat("a", "bc"), LONG, LATE), TOKENIZER, TEMPLATE)
    report = Lengths.of(encoded.lengths, 42)
    assert (report.rows, report.too_long, report.longest) == (3, 2, max(encoded.lengths))
    made, out = fit(encoded, 42, policy)
    assert out == left_out
    assert [TOKENIZER.decode([token for token in row if token != IGNORED]) for row in made["labels"]] == kept
    assert all(len(row) <= 42 for row in made["input_ids"])


def test_rows_that_are_too_long_are_refused_by_default():
    encoded = encode(rows(chat("a", "bc"), LONG), TOKENIZER, TEMPLATE)
    with pytest.raises(UserError, match=r"^1 of 2 rows are longer than max_length 42 .*--set max_length=96 "):
        fit(encoded, 42, "fail")
    assert fit(encoded, 96, "fail")[1] == 0
    assert len(fit(encode(rows(LATE), TOKENIZER, TEMPLATE), 42, "truncate")[0]) == 0
    with pytest.raises(UserError, match="type one of fail, drop, truncate"):
        check_policy("cut")


@pytest.mark.parametrize(
    ("data", "sentence"),
    [("/nowhere/data", "There is no data set /nowhere/data"), ("org/name", "the Hub does not give it")],
)
def test_data_that_is_not_there(data: str, sentence: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)  # the library reads it when imported
    with pytest.raises(UserError, match=r"^[^\n]*$") as refused:
        open_source(data, None)
    assert sentence in str(refused.value)


def test_a_folder_without_a_data_set(tmp_path: Path):
    with pytest.raises(UserError, match=r"^[^\n]*is no data set that can be read[^\n]*$"):
        open_source(str(tmp_path), None)
