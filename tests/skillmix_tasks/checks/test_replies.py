"""Replies as they come are read rightly: text and state, on tuned and on held-out ones."""

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from skillmix_tasks.checks import extract_answer
from tests.skillmix_tasks.checks.reference import tell

FILE: dict[str, Any] = yaml.safe_load(Path(__file__).with_name("replies.yaml").read_text(encoding="utf-8"))


@dataclass(frozen=True)
class Case:
    kind: str
    reply: str
    text: str
    states: tuple[str, ...]
    held_out: bool


def cases() -> Iterator[Case]:
    for group in FILE["groups"]:
        for template in group["replies"]:
            number = int.from_bytes(hashlib.sha256(template.encode()).digest()[:4])
            texts = {
                mark: FILE[name][number // 3 % len(FILE[name])]
                for mark, name in (("A", "answers"), ("B", "drafts"), ("E", "explanations"))
            }
            right = texts["A"]
            if "{A" not in template:  # the text itself is in the template
                right = template.removeprefix("Answer: ").removesuffix("\n\nExplanation: {E}")
            reply = template
            for mark, text in texts.items():
                reply = reply.replace(f"{{{mark}J}}", json.dumps(text)).replace(f"{{{mark}}}", text)
            yield Case(group["kind"], reply, right, tuple(group.get("states", ["found"])), number % 3 == 0)


CASES = list(cases())


def right(case: Case) -> bool:
    found = extract_answer(case.reply)
    return found.text == case.text and found.state in case.states


@pytest.mark.parametrize("held_out", [False, True])
def test_replies_are_read_rightly(held_out: bool) -> None:
    part = [case for case in CASES if case.held_out is held_out]
    wrong = [case for case in part if not right(case)]
    texts = sum(extract_answer(case.reply).text == case.text for case in part)
    tell(f"held out {held_out}: {len(part) - len(wrong)} of {len(part)} read rightly, {texts} texts")
    if not held_out:
        for case in wrong:
            tell(f"  {case.kind}: {case.reply!r} -> {extract_answer(case.reply)}")
    assert len(CASES) >= 200
    assert len(wrong) <= len(part) * 0.05
