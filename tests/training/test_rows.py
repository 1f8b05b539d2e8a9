from __future__ import annotations

from pathlib import Path

import pytest
from datasets import Dataset
from pydantic import ValidationError
from transformers import AutoTokenizer

from grading import UserError
from tests.training.making import items, row_of, write_rows
from training.data.rows import COLUMNS, FEATURES, Row, read_rows, rows_file, rows_files


def test_every_column_has_a_type_and_a_meaning():
    assert set(row_of(items(1, 1)[0]).record()) == set(FEATURES) == set(COLUMNS)


@pytest.mark.parametrize("turns", [1, 2])
def test_a_row_survives_its_file_and_the_features(tmp_path: Path, turns: int):
    rows = write_rows(tmp_path, {2: 5}, turns=turns)
    assert list(read_rows(rows_file(tmp_path, 2))) == rows
    again = Dataset.from_list([row.record() for row in rows], features=FEATURES).to_list()
    fields = [{key: value for key, value in row.items() if key != "messages"} for row in again]
    assert [Row.model_validate(row) for row in fields] == rows
    assert again[0]["sentences2"] == (2 if turns == 2 else None)
    assert again[0]["checks"][0]["lost"] == [{"criterion": "length", "reason": "2 sentences"}]


def test_messages():
    [item] = items(3, 1)
    two, one = row_of(item), row_of(item, turns=1)
    assert [message["role"] for message in two.messages] == ["user", "assistant"] * 2
    texts = (two.prompt1, two.answer1, two.prompt2, two.answer2)
    assert [message["content"] for message in two.messages] == [text.strip() for text in texts]
    assert two.answer1.endswith("\n")
    assert [message["role"] for message in one.messages] == ["user", "assistant"]
    assert (one.prompt2, one.answer2, one.text2) == ("", "", "")
    assert Row.of_text("Once upon a time").messages == []


@pytest.mark.slow
def test_messages_pass_through_a_chat_template_unchanged(embedded_model: Path):
    tokenizer = AutoTokenizer.from_pretrained(embedded_model)
    for turns in (1, 2):
        messages = row_of(items(2, 1)[0], turns=turns).messages
        text = str(tokenizer.apply_chat_template(messages, tokenize=False))
        place = 0
        for message in messages:
            place = text.index(message["content"], place) + len(message["content"])
        assert text.count("<|im_start|>assistant\n") == turns
        for message in messages:
            assert f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>" in text


def test_lone_surrogates_cannot_spoil_a_file(tmp_path: Path):
    row = row_of(items(1, 1)[0], answer1="Answer: half \ud83d an emoji \u2028 and a strange line")
    rows_file(tmp_path, 1).write_text(row.line(), encoding="utf-8")
    [again] = read_rows(rows_file(tmp_path, 1))
    assert again.answer1 == "Answer: half \ufffd an emoji \u2028 and a strange line"


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"k": 1}, "k skills"),
        ({"turns": 1}, "answer2 is too many"),
        ({"answer1": ""}, "answer1 is missing"),
        ({"source": "mix"}, "no turns"),
        ({"text": "pre-training"}, "have a `text`"),
        ({"colour": "red"}, "Extra inputs"),
    ],
)
def test_a_row_is_whole(changes, sentence):
    record = row_of(items(2, 1)[0]).model_dump() | changes
    with pytest.raises(ValidationError, match=sentence):
        Row.model_validate(record)


def test_a_line_that_is_no_row_is_named(tmp_path: Path):
    write_rows(tmp_path, {1: 2})
    path = rows_file(tmp_path, 1)
    whole = path.read_text()
    path.write_text(whole[:-40])  # a process was killed while it wrote
    with pytest.raises(
        UserError, match=r"rows_k1.jsonl, line 2, is not a row of a data set \(it is not valid JSON"
    ):
        list(read_rows(path))
    path.write_text(whole.replace('"turns":2', '"turns":7', 1))
    with pytest.raises(UserError, match="line 1, is not a row of a data set \\(turns: "):
        list(read_rows(path))


def test_files_are_found_by_k(tmp_path: Path):
    for name in ("rows_k10.jsonl", "rows_k2.jsonl", "rows_kx.jsonl", "rows_k3.jsonl.tmp"):
        (tmp_path / name).touch()
    assert list(rows_files(tmp_path)) == [2, 10]
