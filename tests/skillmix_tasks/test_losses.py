"""Why code took a point: what results hold now, and what they held before."""

from __future__ import annotations

import json
from typing import Any

import pytest
from pydantic import ValidationError

from grading import UserError
from skillmix_tasks.checks import WORDS
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.scoring.losses import Loss
from skillmix_tasks.scoring.points import judge_replies
from skillmix_tasks.scoring.reply import as_reply

CASES = [
    ("names the skill: red herring", {"code": "names_skill", "found": "red herring"}, "names the skill"),
    (
        "copies the skill's example: a 1 sentences: b",
        {"code": "copies_skill", "part": "example", "found": "a 1 sentences: b"},
        "copies the skill's example",
    ),
    ("3 sentences", {"code": "too_long", "sentences": 3}, "too many sentences"),
    (
        f"240 words, more than {WORDS} for each sentence allowed",
        {"code": "too_long", "words": 240},
        "too many words",
    ),
    ("[of a private pack]", {"code": "private"}, "[of a private pack]"),
]


@pytest.mark.parametrize(("sentence", "record", "kind"), CASES)
def test_sentences_of_earlier_results_read_as_codes(sentence: str, record: dict[str, Any], kind: str):
    for written in (sentence, record):
        loss = Loss.model_validate_json(json.dumps(written))
        assert (loss.model_dump(mode="json"), str(loss), loss.kind) == (record, sentence, kind)


@pytest.mark.parametrize(
    "spoiled",
    [
        "dreamt",
        {"code": "dreamt"},
        {"code": "too_long"},
        {"code": "too_long", "words": 3, "sentences": 1},
        {"code": "copies_skill", "found": "a"},
        {"code": "private", "found": "a"},
        {"code": "names_skill", "found": "a", "more": 1},
        None,
    ],
)
def test_a_reason_that_is_none(spoiled: Any):
    with pytest.raises(ValidationError):
        Loss.model_validate(spoiled)


def test_a_text_in_place_of_a_list_of_replies_is_refused():
    pack = load_pack("language")
    [item] = sample_items(pack, task="t", k=2, split="all", seed=0, number=1)
    with pytest.raises(UserError, match=r"'Answer: Bees\.': write \[text\]"):
        judge_replies(pack, [(item, ["Write."], "Answer: Bees.")], None)


def test_a_record_holds_codes():
    pack = load_pack("language")
    [item] = sample_items(pack, task="t", k=2, split="all", seed=0, number=1)
    first, second = item.skills
    reply = f"Answer: This is {first.name}. {second.definition} And. So. On."
    [record] = judge_replies(pack, [(item, ["Write."], [as_reply(reply)])], None)
    codes = {point: loss["code"] for point, loss in json.loads(json.dumps(record["lost_in_code"])).items()}
    assert codes == {"s1": "names_skill", "s2": "copies_skill", "length": "too_long"}
