"""The facts of our tasks in lm-eval's results, for the last lines of a command."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import PurePath
from typing import Any

from grading.commands.closing import amount, names
from grading.cost.stats import total
from skillmix_tasks.stored.record import task_record


def run_facts(several: Sequence[dict[str, Any]], *, earlier: bool = False) -> dict[str, object]:
    """Student, pack, judge, turns, votes, coverage and cost of our tasks in `several` results; {} without one.

    `earlier` runs made them, and not the command at hand.
    """
    tasks = [
        (task, record, results)
        for results in several
        for task in results["configs"]
        if (record := task_record(results, task, "This file")) is not None
    ]
    if not tasks:
        return {}
    records = [record for _, record, _ in tasks]
    judged = [one for one in tasks if one[1].judge is not None]
    return {
        "student": names(student_name(record.student) for record in records),
        "pack": names(record.pack.name for record in records),
        "judge": names(judge_name(record.judge) for _, record, _ in judged if record.judge) or "not judged",
        "turns": names(str(record.turns) for record in records),
        "votes": names(f"{record.judge['votes']} for each answer" for _, record, _ in judged if record.judge),
        "coverage": covered_of(
            (task, round(results["results"][task]["coverage,none"] * (items := _items(results, task))), items)
            for task, _, results in judged
        ),
        "cost": cost_of(
            (record.grading for _, record, _ in judged),
            free=all(in_process(record.judge) for _, record, _ in judged if record.judge),
            earlier=earlier,
        ),
    }


def in_process(judge: dict[str, Any]) -> bool:
    """Whether the judge or judges of a record run in the process of the command."""
    return all(one.get("endpoint") == "transformers" for one in judge.get("panel") or [judge])


def _items(results: dict[str, Any], task: str) -> int:
    return int(results["n-samples"][task]["effective"])


def student_name(student: dict[str, Any]) -> str:
    """The name of the student of a record, with its adapter and revision."""
    name = model_name(str(student.get("model", "")))
    if student.get("peft"):
        name += f" + {PurePath(str(student['peft'])).name}"
    return f"{name} ({student['revision']})" if student.get("revision") else name


def judge_name(judge: dict[str, Any]) -> str:
    """The judge or judges of a record."""
    return " and ".join(model_name(str(one["model"])) for one in judge.get("panel") or [judge])


def model_name(model: str) -> str:
    """A model's name for people; of a path the last folder, for paths are private."""
    on_disk = PurePath(model).is_absolute() or model.startswith((".", "~"))
    return PurePath(model).name if on_disk else model


def cost_of(gradings: Iterable[dict[str, Any] | None], *, free: bool = False, earlier: bool = False) -> str:
    """The cost of these records' votes, and of those that were in the store; `free` ones cost nothing.

    It was paid by `earlier` runs, or by the command at hand.
    """
    grading = total([one for one in gradings if one is not None]) or {}
    words = []
    for name in ("spent", "saved"):
        used = grading.get(name) or {}
        tokens = (used.get("prompt_tokens") or 0) + (used.get("completion_tokens") or 0)
        words.append(amount(tokens, 0.0 if free else used.get("dollars")))
    paid, stored = words
    if earlier:
        spent = f"spent {paid}" if paid else "had all votes from the store"
        return f"nothing now; the runs {spent}" if paid or stored else ""
    return f"{paid or 'nothing now'}; what came from the store had cost {stored}" if stored else paid


def covered_of(tasks: Iterable[tuple[str, int, int]]) -> str:
    """How many items have a verdict, by task, items with one and all items; tasks in which some have none."""
    counts = list(tasks)
    if not counts:
        return ""
    short = [f"{task} {covered:,} of {items:,}" for task, covered, items in counts if covered < items]
    text = f"{sum(one[1] for one in counts):,} of {sum(one[2] for one in counts):,} items have a verdict"
    return f"{text} ({', '.join(short)})" if short and len(counts) > 1 else text
