"""Whether a data set leaks items of the tasks: its rows against the pack's split and the tasks' items.

A leak is a held-out topic, a held-out skill in a text with two or more skills, or the exact item of a task (the
same skills and topic). Held-out skills in texts with one skill are the paper's D(1): counted, and not a leak.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pyarrow as pa
import pyarrow.parquet as pq

from grading import UserError
from grading.commands.words import many
from skillmix_tasks.cells import FIRST_ITEMS, Cell, task_cells, tasks_of
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_named
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, bundled_packs
from training.data.rows import read_rows, rows_files

HELDOUT_TOPIC: Final = "held-out topic"
HELDOUT_SKILL: Final = "held-out skill"
TASK_ITEM: Final = "item of a task"
HELDOUT_SKILL_ALONE: Final = "held-out skill at k = 1"
LEAKS: Final = (HELDOUT_TOPIC, HELDOUT_SKILL, TASK_ITEM)
_SHOWN = 5
_COLUMNS = ("id", "source", "pack", "skills", "topic")


@dataclass(frozen=True)
class Labels:
    """The labels of a row: ids of its skills and of its topic. Pre-training text has neither."""

    id: str
    source: str
    pack: str
    skills: tuple[str, ...]
    topic: str


@dataclass
class Leakage:
    """The findings in `rows` rows, of which `mixed` are pre-training text and have nothing to be checked.

    `counts` counts rows by kind of finding, and `first` holds the first five of each: the row's id, and the leaked
    name or item. `tasks` are those against which the rows were checked, each with its first `items` items.
    """

    tasks: tuple[str, ...]
    items: int
    seed: int
    rows: int = 0
    mixed: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, list[tuple[str, str]]] = field(default_factory=dict)

    @property
    def leaks(self) -> bool:
        """The verdict: whether there is any leak."""
        return any(self.counts[kind] for kind in LEAKS)

    def find(self, kind: str, row: str, what: str) -> None:
        self.counts[kind] += 1
        shown = self.first.setdefault(kind, [])
        if len(shown) < _SHOWN:
            shown.append((row, what))

    def add(self, other: Leakage) -> None:
        """Add the findings in other rows, checked against the same items."""
        self.rows += other.rows
        self.mixed += other.mixed
        self.counts += other.counts
        for kind, shown in other.first.items():
            self.first[kind] = (self.first.get(kind, []) + shown)[:_SHOWN]

    def record(self) -> dict[str, Any]:
        return {
            "leaks": self.leaks,
            "rows": self.rows,
            "mixed": self.mixed,
            "tasks": list(self.tasks),
            "items": self.items,
            "seed": self.seed,
            "found": {kind: self.counts[kind] for kind in (*LEAKS, HELDOUT_SKILL_ALONE)},
            "first": {
                kind: [{"row": row, "what": what} for row, what in shown] for kind, shown in self.first.items()
            },
        }

    def text(self) -> str:
        lines = [
            f"{many(self.rows, 'row')} ({self.mixed:,} of pre-training text, which cannot be checked) against "
            f"{many(len(self.tasks), 'task')}, the first {many(self.items, 'item')} of each with seed {self.seed}."
        ]
        for kind in (*LEAKS, HELDOUT_SKILL_ALONE):
            lines.append(f"  {kind}: {many(self.counts[kind], 'row')}{' (no leak)' if kind not in LEAKS else ''}")
            lines += [f"    {row}: {what}" for row, what in self.first.get(kind, ()) if kind in LEAKS]
        return "\n".join([*lines, "It leaks." if self.leaks else "No leak."])


def check_leaks(
    folder: Path, *, tasks: Sequence[str] = (), pack: str | None = None, items: int = FIRST_ITEMS, seed: int = 0
) -> Leakage:
    """Check every row of the data set in `folder`: its Parquet files and its files of accepted rows.

    `tasks` are names of tasks or groups, taken as they run on the rows' pack; without any, all tasks of that pack.
    `pack` is the name or directory of the rows' pack, which has to be given if it is not a bundled one. Raises
    UserError if the rows cannot be read or are of another pack.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name the directory of a data set.")
    rows = dict.fromkeys(_labels(folder))  # a row that is in several files counts once
    first = next((row for row in rows if row.source != "mix"), None)
    if first is None:
        raise UserError(f"{folder} holds no generated texts: name the directory of a data set.")
    used = _pack_of(first, pack)
    names = dict.fromkeys(task for name in tasks for task in tasks_named(name)) if tasks else tasks_of(used)
    found = Leakage(tuple(names), items, seed)
    specs = bundled_tasks()
    asked: dict[int, dict[Cell, str]] = {}  # by k, made when a row of this k is met
    for row in rows:
        found.rows += 1
        if row.source == "mix":
            found.mixed += 1
            continue
        k = len(row.skills)
        if k not in asked:
            asked[k] = task_cells(used, [name for name in names if specs[name].k == k], items=items, seed=seed)
        _check(row, used, asked[k], found)
    return found


def _labels(folder: Path) -> Iterator[Labels]:
    for path in rows_files(folder).values():
        for row in read_rows(path):
            yield Labels(row.id, row.source, row.pack, row.skills, row.topic.id)
    for path in sorted(folder.rglob("*.parquet")):
        try:
            with pq.ParquetFile(path) as file:
                missing = set(_COLUMNS) - set(file.schema_arrow.names)
                if missing:
                    raise UserError(
                        f"{path} has no column {', '.join(sorted(missing))}: it is not a data set of `skillmix "
                        "generate`."
                    )
                for batch in file.iter_batches(batch_size=1000, columns=list(_COLUMNS)):
                    for one in batch.to_pylist():
                        yield Labels(
                            one["id"], one["source"], one["pack"], tuple(one["skills"]), one["topic"]["id"]
                        )
        except (OSError, pa.ArrowException) as error:
            raise UserError(f"{path} cannot be read ({error}).") from error


def _pack_of(row: Labels, name: str | None) -> Pack:
    if name is None and row.pack not in bundled_packs():
        raise UserError(f"The rows were made with a pack {row.pack!r}: name its directory with --pack.")
    return load_pack(name or row.pack)


def _check(row: Labels, pack: Pack, asked: dict[Cell, str], found: Leakage) -> None:
    skills = {skill.id: skill for skill in pack.skills}
    topics = {topic.id: topic for topic in pack.topics}
    unknown = [name for name in row.skills if name not in skills] + [row.topic] * (row.topic not in topics)
    if row.pack != pack.about.id or unknown:
        raise UserError(
            f"The row {row.id} was made with the pack {row.pack!r}"
            + (f" and has {unknown[0]!r}, which the pack {pack.about.id!r} does not have" if unknown else "")
            + ": name that pack with --pack."
        )
    heldout = [name for name in row.skills if skills[name].category in pack.about.heldout_categories]
    if topics[row.topic].split == "heldout":
        found.find(HELDOUT_TOPIC, row.id, row.topic)
    if heldout:
        found.find(HELDOUT_SKILL if len(row.skills) > 1 else HELDOUT_SKILL_ALONE, row.id, ", ".join(heldout))
    task = asked.get((frozenset(row.skills), row.topic))
    if task:
        found.find(TASK_ITEM, row.id, task)
