"""Folders as our commands make them, for pushes."""

from __future__ import annotations

import json
from pathlib import Path

from grading import resolve_judge
from grading.panel import panel_record
from tests.training.making import PACK, items, write_rows
from training.counts import Counts
from training.dataset import build_dataset
from training.plan import own_plan
from training.summary import write_summary
from training.teacher import resolve_teacher


def make_training_data(folder: Path, *, model: str = "teacher-1") -> Path:
    """A folder of `skillmix generate`; `model` is the teacher's id."""
    teacher = json.dumps({"model": model, "endpoint": "transformers"})
    judge = panel_record([resolve_judge("judge-1", base_url="http://127.0.0.1:1/v1")])
    numbers = {1: 12, 2: 8}
    write_rows(folder, numbers, teacher=teacher, judge=json.dumps(judge))
    build_dataset(folder, validation=0.1)
    counts = Counts()
    for k, number in numbers.items():
        for item in items(k, number):
            counts.accept(item, "A short text.", 1)
        counts.reject(items(k, number + 1)[-1], "not_met:s1")
    (folder / "counts.json").write_text(counts.model_dump_json(indent=1))
    run = {
        "plan": own_plan(list(numbers), 12).model_dump(mode="json"),
        "pack": {"id": PACK.about.id, "version": PACK.about.version, "hash": PACK.hash},
        "seed": 0,
        "turns": 2,
        "least_rate": 0.01,
        "teacher": resolve_teacher("teacher-1", base_url="http://127.0.0.1:1/v1").record() | {"model": model},
        "judge": judge,
    }
    (folder / "run.json").write_text(json.dumps(run, indent=1))
    write_summary(folder, counts, PACK, about=[f"Written by {model}."])
    return folder
