"""Cells: sets of skills with a topic, in any order; and the cells of the tasks."""

from __future__ import annotations

from collections.abc import Iterable
from collections.abc import Set as AbstractSet

from skillmix_tasks.harness.task_files import TaskSpec, bundled_tasks
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack, Split, bundled_packs

Cell = tuple[frozenset[str], str]
FIRST_ITEMS = 300  # of each task; three times a task's default


def cell_of(item: Item) -> Cell:
    """The ids of the item's skills, and of its topic."""
    return frozenset(skill.id for skill in item.skills), item.topic.id


def tasks_of(pack: Pack) -> dict[str, TaskSpec]:
    """The tasks of `pack`: its own, or, for a user's pack, all that it has skills and topics for."""
    own = pack.about.id in bundled_packs()
    return {
        name: spec
        for name, spec in bundled_tasks().items()
        if (spec.pack == pack.about.id if own else pack.combinations(_ids(pack, spec.split), spec.k))
        and pack.topics_of(spec.split)
    }


def _ids(pack: Pack, split: Split) -> list[str]:
    return [skill.id for skill in pack.skills_of(split)]


def task_cells(pack: Pack, tasks: Iterable[str], *, items: int = FIRST_ITEMS, seed: int = 0) -> dict[Cell, str]:
    """The cells of the first `items` items of `tasks`, each with the first task that has it.

    Takes some 30 ms for each task and 300 items.
    """
    specs = bundled_tasks()
    cells: dict[Cell, str] = {}
    for task in tasks:
        for item in specs[task].draw(pack, task, items, seed=seed):
            cells.setdefault(cell_of(item), task)
    return cells


def evaluation_cells(pack: Pack, ks: Iterable[int]) -> frozenset[Cell]:
    """Cells that texts of `ks` skills must not have: of the first 300 items of all tasks at the default seed."""
    wanted = set(ks)
    return frozenset(task_cells(pack, [name for name, spec in tasks_of(pack).items() if spec.k in wanted]))


def cells_left(pack: Pack, k: int, *, skills: Split, excluded: AbstractSet[Cell]) -> int:
    """How many cells of `k` skills of a split, with train topics, are left for training without the `excluded`."""
    chosen = set(_ids(pack, skills))
    topics = {topic.id for topic in pack.topics_of("train")}
    barred = sum(len(some) == k and some <= chosen and topic in topics for some, topic in excluded)
    return pack.combinations(chosen, k) * len(topics) - barred
