"""Folders as our commands make them, for pushes."""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Any

from grading import resolve_judge
from grading.panel import panel_record
from skillmix_tasks.calibration.agreement import Agreement, Estimate
from skillmix_tasks.calibration.record import Calibration
from tests.training.making import PACK, items, write_rows
from training.data.dataset import build_dataset
from training.texts.counts import Counts
from training.texts.plan import own_plan
from training.texts.summary import write_summary
from training.texts.teacher import resolve_teacher


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


def make_run(folder: Path) -> Path:
    """A folder of `skillmix train` that is done, with weights that nobody loads."""
    model = folder / "model"
    model.mkdir(parents=True)
    (model / "model.safetensors").write_bytes(bytes(8))
    (model / "config.json").write_text('{"_name_or_path": "/home/somebody/base"}')
    (model / "training_args.bin").write_bytes(b"pickled")
    run = {
        "recipe": {"model": "/home/somebody/base", "method": "full", "steps": 7},
        "base_model": {"name": "base", "revision": None, "fingerprint": "f"},
        "data": {"name": "texts", "config": "k1-2", "fingerprint": "d", "rows": 20},
        "template": "t",
        "versions": {"trl": "1.16.0"},
        "leaks": None,
    }
    (folder / "run.json").write_text(json.dumps(run))
    (folder / "result.json").write_text(json.dumps({"steps": 7, "loss": 1.5, "tokens": 900, "seconds": 3.0}))
    return folder


def make_calibration(folder: Path, judge: dict[str, Any]) -> Path:
    """The calibration.json of a judge, as results record it."""
    sure = Estimate(value=0.9, low=0.85, high=0.95, state="estimated")
    agreement = Agreement(
        answers=60,
        decisions=300,
        both=150,
        judge_only=15,
        reference_only=15,
        neither=120,
        agreement=sure,
        kappa=sure,
        precision=sure,
        recall=sure,
        surplus=sure,
    )
    made = Calibration(
        judge=judge,
        name="small",
        yardstick="people",
        data="d",
        date=datetime.date(2026, 1, 2),
        answers=60,
        undecided={},
        split=0,
        by_kind={"all": agreement},
        repeat=sure,
        shifts=(),
        errors={},
        people=(),
        verdict="interchangeable",
        sentence="small is interchangeable with people.",
    )
    path = folder / "calibration.json"
    path.write_text(made.model_dump_json())
    return path
