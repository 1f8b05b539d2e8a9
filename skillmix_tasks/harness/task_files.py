"""The task files in skillmix_tasks/harness, read without lm-eval."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

import yaml
from pydantic import BaseModel, Field

from grading import UserError
from skillmix_tasks.items.draw import Item, sample_items
from skillmix_tasks.items.pack import Pack, Split


class TaskSpec(BaseModel, extra="forbid", frozen=True):
    """The numbers and names of one YAML file; no user setting changes them."""

    k: int = Field(ge=1)
    split: Split
    pack: str
    version: str | None = None
    """Of a task file of the user's own, where it has one."""

    @property
    def full_version(self) -> str:
        """The version as results name it: that of all tasks, and after a hyphen the task file's own."""
        return tasks_version() if self.version is None else f"{tasks_version()}-{self.version}"

    def draw(self, pack: Pack, task: str, number: int, *, seed: int = 0, drop_common: bool = False) -> list[Item]:
        """The first `number` items of `task` on `pack`; see sample_items."""
        return sample_items(
            pack, task=task, k=self.k, split=self.split, seed=seed, number=number, drop_common=drop_common
        )


@cache
def tasks_version() -> str:
    """The version of all tasks; no setting and no task file of a user's changes it."""
    file = yaml.safe_load((harness_folder() / "_version.yaml").read_text(encoding="utf-8"))
    return str(file["metadata"]["version"])


def harness_folder() -> Path:
    """The folder of our YAML files, as `lm_eval --include_path` takes it."""
    return Path(str(files("skillmix_tasks"))) / "harness"


def bundled_tasks() -> dict[str, TaskSpec]:
    """The tasks by name, sorted."""
    return {file["task"]: TaskSpec.model_validate(file["skillmix"]) for file in _files() if "skillmix" in file}


def tasks_named(name: str) -> list[str]:
    """The task `name`, or the tasks of the group `name`; UserError if it is neither."""
    groups = {file["group"]: list(file["task"]) for file in _files() if "group" in file}
    tasks = bundled_tasks()
    if name in tasks:
        return [name]
    if name not in groups:
        raise UserError(f"There is no task {name!r}: `skillmix tasks` lists them all.")
    return groups[name]


@cache
def _files() -> tuple[dict[str, Any], ...]:
    # A file whose name begins with an underscore is included by the others, and holds a tag of lm-eval's.
    files = (file for file in sorted(harness_folder().glob("*.yaml")) if not file.name.startswith("_"))
    return tuple(yaml.safe_load(file.read_text(encoding="utf-8")) for file in files)
