"""Answers scored as the tasks score them, without lm-eval.

items = task_items("skillmix_k2", number=4)
scores = score_answers(items, [ask(item.prompts(1)) for item in items], open_judge("my-judge", base_url=URL))
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from grading import Panel, UserError
from grading.commands.words import many
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_named
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.losses import Loss
from skillmix_tasks.scoring.metrics import METRICS, item_metrics
from skillmix_tasks.scoring.points import judge_replies


@dataclass(frozen=True)
class TaskItem:
    """An item with the pack that it was drawn from."""

    item: Item
    pack: Pack = field(repr=False)

    def prompts(self, turns: int = 2) -> list[str]:
        """The prompts of a conversation of two turns, or the one prompt that states the sentence limit at once."""
        if turns not in (1, 2):
            raise UserError(f"An item has 1 or 2 turns, not {turns}.")
        return [render(self.pack, name, self.item) for name in (("single",) if turns == 1 else ("turn1", "turn2"))]


@dataclass(frozen=True)
class Score:
    """The points of one answer, and its metrics; None where a point has no verdict.

    `answer` is the text that was judged, out of the reply. `points` has the k skills (s1, s2, ...), topic, sense
    and length. `states` says why a point has no verdict, `lost` why code decided against one. `record` is all that
    the samples of a run hold: every vote with its evidence, the state of the reply, and what the checks found.
    """

    answer: str
    points: dict[str, bool | None]
    full_marks: float | None
    all_skills: float | None
    skill_fraction: float | None
    states: dict[str, str]
    lost: dict[str, str]
    record: dict[str, Any] = field(repr=False)


def task_items(
    task: str, *, pack: str | None = None, number: int = 100, seed: int = 0, drop_common: bool = False
) -> list[TaskItem]:
    """The first `number` items of a task, the same that a run with these settings has.

    `pack` is a bundled pack or a directory; None takes the task's own. Raises UserError for an unknown task or
    pack, and for a group.
    """
    if tasks_named(task) != [task]:
        raise UserError(f"{task} is a group: name one of its tasks, {', '.join(tasks_named(task))}.")
    if not isinstance(number, int) or number < 1:
        raise UserError(f"number = {number!r} is not a number of items: take 1 or more.")
    spec = bundled_tasks()[task]
    own = load_pack(pack or spec.pack)
    return [TaskItem(item, own) for item in spec.draw(own, task, number, seed=seed, drop_common=drop_common)]


def score_answers(
    items: Sequence[TaskItem], answers: Sequence[str], judge: Panel, *, turns: int = 2, progress: bool = False
) -> list[Score]:
    """Score each answer to the item in the same place: checks in code, the judge's votes, the three metrics.

    An answer is the student's last reply as it came. `turns` are those of the conversation, 1 if the student got
    `item.prompts(1)` alone: they say which texts would be copies of a prompt. The score of an item is the best of
    three answers: `item_metrics([score.points for score in scores])`.
    Raises UserError if there are not as many answers as items.
    """
    if not isinstance(items, Sequence) or not isinstance(answers, Sequence) or isinstance(answers, str):
        raise UserError(
            "score_answers takes a list of items and a list of answers: type score_answers([item], [text])."
        )
    if len(items) != len(answers):
        raise UserError(
            f"{many(len(items), 'item')} and {many(len(answers), 'answer')}: give one answer for each item."
        )
    if not all(isinstance(answer, str) for answer in answers):
        raise UserError("An answer is a str, the text of the student's last reply.")
    if not isinstance(judge, Panel):
        raise UserError(f"The judge {judge!r} is not an open one: give open_judge({judge!r}).")
    records: dict[int, dict[str, Any]] = {}
    for pack in {id(one.pack): one.pack for one in items}.values():
        places = [place for place, one in enumerate(items) if one.pack is pack]
        asked = [(items[place].item, items[place].prompts(turns), [answers[place]]) for place in places]
        records |= zip(places, judge_replies(pack, asked, judge, "Judging" if progress else ""), strict=True)
    return [_score(records[place]) for place in range(len(items))]


def _score(record: dict[str, Any]) -> Score:
    found = {
        name: None if math.isnan(value) else value for name, value in item_metrics([record["points"]]).items()
    }
    lost = {point: str(Loss.model_validate(loss)) for point, loss in record["lost_in_code"].items()}
    return Score(
        answer=record["answer"],
        points=record["points"],
        **{metric: found[metric] for metric in METRICS},
        states=record["states"],
        lost=dict.fromkeys(record["points"], record["void"]) if record["void"] else lost,
        record=record,
    )
