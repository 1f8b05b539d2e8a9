"""The table of two evaluations, from results and samples made by hand."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from skillmix_tasks.scoring.metrics import Scores
from skillmix_tasks.stored.record import RunRecord
from tests.skillmix_tasks.made_record import run_record
from tests.training.experiment.made import write_task
from training.comparison import Half, compare_halves, comparison_text, read_half

JUDGE = {"model": "judge-1", "votes": 3, "refused_parameters": []}
TASKS = {"skillmix_heldout_k3": ("heldout", 3), "skillmix_k3": ("all", 3), "skillmix_k2": ("all", 2)}


def half(scores: list[float], tasks: dict[str, tuple[str, int]] = TASKS, **judge: Any) -> Half:
    """Each task's items have these scores in all metrics; NaN is an item without a verdict."""
    known = [score for score in scores if not math.isnan(score)]
    value = sum(known) / len(known) if known else math.nan
    metrics = ("full_marks", "all_skills", "skill_fraction")
    return Half(
        {
            "results": {
                task: {f"{metric},none": value for metric in metrics}
                | {f"{metric}_stderr,none": 0.25 if known else "N/A" for metric in metrics}
                for task in tasks
            },
        },
        {
            task: RunRecord.model_validate(run_record(split=split, k=k, judge=JUDGE | judge)["skillmix"])
            for task, (split, k) in tasks.items()
        },
        {
            task: {
                f"{task}-{number}": None if math.isnan(score) else Scores(score, score, score)
                for number, score in enumerate(scores)
            }
            for task in tasks
        },
    )


def test_the_change_is_that_of_the_items():
    rows = compare_halves(half([0, 0, 1, 0]), half([1, 1, 1, 0], refused_parameters=["seed"]))
    assert [(row.split, row.k) for row in rows] == [("all", 2), ("all", 3), ("heldout", 3)]
    change = rows[0].metrics["full_marks"]
    assert (change.before, change.after, change.change, change.pairs) == (0.25, 0.75, 0.5, 4)
    assert change.change_stderr == pytest.approx(math.sqrt(1 / 3) / 2)  # of 1, 1, 0, 0
    assert change.p == 0.5  # McNemar: two items got better and none worse
    assert change.interval is not None
    assert change.interval.low < 0.5 < change.interval.high
    text = comparison_text({"run": rows}, ["A sentence."])
    assert "\nskillmix_heldout_k3 (held-out, k = 3), 4 items\n\n| metric | before | after | change |\n" in text
    assert "| full marks     | 0.25 ± 0.25 | 0.75 ± 0.25 | +0.50 ± 0.29 |\n" in text
    assert text.startswith("# Before and after training\n\nA sentence.\n\nskillmix_k2 (all, k = 2), 4 items\n")
    assert "chance (items with a verdict: skillmix_k2 4, skillmix_k3 4, skillmix_heldout_k3 4; 50 are" in text
    assert "Each ± is a standard error. The change" in text
    assert "n/n" not in text
    many = compare_halves(half([0, 1] * 25), half([1, 1] * 25))
    assert "Too few items" not in comparison_text({"run": many}, [])


def test_items_without_a_verdict_count_on_neither_side():
    [row] = compare_halves(half([0, math.nan, 1], {"a": ("all", 2)}), half([1, 1, math.nan], {"a": ("all", 2)}))
    change = row.metrics["skill_fraction"]
    assert (change.before, change.after, change.change, change.pairs) == (0.5, 1, 1, 1)
    assert change.change_stderr is None
    text = comparison_text({"run": [row]}, [])
    assert "a (all, k = 2), 2/3, 2/3 items" in text
    assert "`n/n` counts the items with a verdict" in text
    assert "| skill fraction | 0.50 ± 0.25 | 1.00 ± 0.25 | +1.00        |" in text
    [row] = compare_halves(half([math.nan], {"a": ("all", 2)}), half([1], {"a": ("all", 2)}))
    assert row.metrics["full_marks"].cells() == ("no verdict", "1.00 ± 0.25", "no verdict")
    assert row.metrics["full_marks"].before is None


def test_what_does_not_compare():
    with pytest.raises(UserError, match="different judges"):
        compare_halves(half([0]), half([0], votes=1))
    with pytest.raises(UserError, match="other items"):
        compare_halves(half([0]), half([0, 1]))
    with pytest.raises(UserError, match="different tasks"):
        compare_halves(half([0]), half([0], {"skillmix_k2": ("all", 2)}))


def test_the_newest_results_are_read(tmp_path: Path):
    with pytest.raises(UserError, match="holds no results"):
        read_half(tmp_path)
    for day, mark in (("01", False), ("02", True)):
        write_task(tmp_path / "model", [mark, None], k=2, date=f"2026-01-{day}T00")
    found = read_half(tmp_path)
    assert found.scores == {"skillmix_k2": {"skillmix_k2-0": (1, 1, 1), "skillmix_k2-1": None}}
    assert found.records["skillmix_k2"].judge == {"model": "judge-1", "votes": 3}
    (tmp_path / "model" / "samples_skillmix_k2_2026-01-02T00.jsonl").unlink()
    with pytest.raises(UserError, match="has no samples of skillmix_k2 beside it"):
        read_half(tmp_path)


def test_one_item_whose_score_changed_says_nothing():
    [row] = compare_halves(half([0.0], {"a": ("all", 2)}), half([0.5], {"a": ("all", 2)}))
    change = row.metrics["skill_fraction"]
    assert (change.change, change.interval, change.p) == (0.5, None, 1)
