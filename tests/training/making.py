"""Rows for tests, made of a plan's items; nothing in them hangs on chance."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import Any

from skillmix_tasks.cells import evaluation_cells
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.points import check_reply
from training.data.rows import Check, Evidence, Point, Row, Tokens, rows_file
from training.texts.plan import cells, own_plan

PACK = load_pack("language")


def items(k: int, number: int, seed: int = 0) -> list[Item]:
    plan = own_plan([k], number)
    return list(islice(cells(PACK, plan.kinds[0], plan, seed, evaluation_cells(PACK, [k])), number))


def row_of(item: Item, *, turns: int = 2, **changes: Any) -> Row:
    prompts = (
        [render(PACK, "turn1", item), render(PACK, "turn2", item)]
        if turns == 2
        else [render(PACK, "single", item)]
    )
    texts = [
        f"“Über” {item.topic.name}, number {turn}: {item.hash}.\nIt went on, {{%s}}." for turn in range(turns)
    ]
    answers = [f"Answer: {text}\nExplanation: as <|you|> see.\n" for text in texts]
    checks = [check_reply(item, answer, prompts) for answer in answers]
    second = {}
    if turns == 2:
        second = {
            "prompt2": prompts[1],
            "answer2": answers[1],
            "text2": checks[1].extraction.text,
            "sentences2": checks[1].sentences,
        }
    criteria = [*(f"s{number}" for number in range(1, item.k + 1)), "topic", "sense", "length"]
    fields: dict[str, Any] = {
        "turns": turns,
        "prompt1": prompts[0],
        "answer1": answers[0],
        "text1": checks[0].extraction.text,
        "sentences1": checks[0].sentences,
        "checks": tuple(Check.of(2 if number else 1, check) for number, check in enumerate(checks)),
        "points": tuple(Point(criterion=criterion, earned=True) for criterion in criteria),
        "evidence": tuple(Evidence(criterion=criterion, quote=item.topic.name) for criterion in criteria[:-1]),
        "teacher": '{"model": "teacher-1"}',
        "judge": '{"model": "judge-1"}',
        "teacher_tokens": Tokens(prompt=700, completion=120),
        "judge_tokens": Tokens(prompt=600, completion=90),
    }
    return Row.of_item(PACK, item, **(fields | second | changes))


def write_rows(folder: Path, numbers: dict[int, int], *, turns: int = 2, **changes: Any) -> list[Row]:
    """`numbers` rows of each k, in files as the loop writes them; `changes` are columns of all of them."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for k, number in numbers.items():
        own = [row_of(item, turns=turns, **changes) for item in items(k, number)]
        rows_file(folder, k).write_text("".join(row.line() for row in own), encoding="utf-8")
        rows += own
    return rows
