"""A run's record, as results carry it."""

from __future__ import annotations

from typing import Any

from skillmix_tasks.stored.record import RunRecord


def run_record(**changes: Any) -> dict[str, Any]:
    """The metadata of a task with a record that has these values."""
    record = {
        "k": 3,
        "split": "all",
        "pack": {"id": "language", "version": "1.0", "hash": "abc"},
        "turns": 2,
        "generations": 3,
        "seed": 0,
        "drop_common": False,
        "judge": None,
        "grading": None,
        "controls": None,
        "points_without_verdict": {},
        "ungrounded": None,
        "student": {"class": "HFLM", "model": "student-1"},
    }
    return {"skillmix": RunRecord.model_validate(record | changes).model_dump()}
