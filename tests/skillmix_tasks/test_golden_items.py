"""The first three items of every task, as they stand in golden_items.yaml, on every Python and machine.

A change here changes what every user is asked: it needs a new version of the tasks. To write the file anew:
python -m tests.skillmix_tasks.test_golden_items
"""

from __future__ import annotations

from pathlib import Path

import yaml

from skillmix_tasks.harness.task_files import harness_folder
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack

GOLDEN = Path(__file__).with_name("golden_items.yaml")


def first_items() -> dict[str, list[str]]:
    items = {}
    for file in sorted(harness_folder().glob("skillmix*_k*.yaml")):
        task = yaml.safe_load(file.read_text())
        spec = task["skillmix"]
        drawn = sample_items(
            load_pack(spec["pack"]), task=task["task"], k=spec["k"], split=spec["split"], seed=0, number=3
        )
        items[task["task"]] = [item.id for item in drawn]
    return items


def test_every_task_begins_with_its_golden_items():
    golden = yaml.safe_load(GOLDEN.read_text())
    assert len(golden) == 41
    assert first_items() == golden


if __name__ == "__main__":
    GOLDEN.write_text(yaml.safe_dump(first_items(), width=100))
