"""The benchmark as a data set: a config with each task's items, the skills, the topics, and the pack itself."""

from __future__ import annotations

import io
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData

from grading import UserError
from hub_cards.cards import render_card, size_category, tags
from hub_cards.hub.files import File
from hub_cards.hub.publication import Publication
from hub_cards.leaderboards import benchmark_files
from skillmix_tasks.cells import tasks_of
from skillmix_tasks.harness.task_files import TaskSpec
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.hub import PACK_FOLDER, config_of, data_file
from skillmix_tasks.items.licenses import known_license
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import STUDENT_PROMPTS, Pack
from skillmix_tasks.items.pack_files import pack_sources
from skillmix_tasks.items.prompts import render
from training.data.dataset import card_configs

MARK = "dataset"

COLUMNS = {
    "id": "the skills' ids and the topic's id",
    "hash": "changes with anything that the student reads (definitions, examples, prompts)",
    "k": "the number of skills",
    "split": "all, train, heldout or public: from which skills and topics the item was drawn",
    "skills": "the skills in the order of the prompt, each with id, name, category, definition and example",
    "topic": "the topic's id and name",
    "limit": "the most sentences that the answer may have",
    "turn1": "the prompt of the first turn",
    "turn2": "the prompt of the second turn, in which the student improves its answer",
    "single": "the prompt for a model without a chat template, which has one turn",
}


@dataclass(frozen=True)
class Config:
    """A config of the data set; `task` is None for the skills and the topics."""

    name: str
    rows: int
    task: str | None = None
    k: int | None = None
    split: str | None = None


def benchmark(
    pack_name: str = "language",
    *,
    repo: str,
    number: int = 100,
    judge: str | None = None,
    leaderboard: bool = True,
) -> Publication:
    """The data set of a pack with the first `number` items of each of its tasks, and its card.

    Its leaderboards on the Hub rank results of `judge` (None: the default judge). A pack of your own has the
    tasks of `language` for which it has skills and topics enough. Raises UserError for a private pack.
    """
    pack = load_pack(pack_name)
    if pack.about.private:
        raise UserError(f"The pack {pack.about.id!r} is private, and its texts are not published.")
    configs, files = [], []
    for task, spec in _tasks(pack):
        items = spec.draw(pack, task, number)
        name = config_of(task)
        configs.append(Config(name, len(items), task, spec.k, spec.split))
        files.append(File(data_file(name), _parquet([_row(pack, item) for item in items], _ITEMS)))
    for name, parts, schema in (("skills", pack.skills, _SKILLS), ("topics", pack.topics, _TOPICS)):
        rows = [part.model_dump(mode="json") for part in parts]
        configs.append(Config(name, len(rows)))
        files.append(File(data_file(name), _parquet(rows, schema)))
    files += [File(f"{PACK_FOLDER}/{path}", text.encode()) for path, text in pack_sources(pack).items()]
    tasks = [config.task for config in configs if config.task]
    if leaderboard:
        files += benchmark_files(f"SKILL-MIX: {pack.about.title}", tasks, judge)
    return Publication(_card(pack, configs, repo), tuple(files))


def _tasks(pack: Pack) -> list[tuple[str, TaskSpec]]:
    """The tasks of the pack in order of split and k, or those that it can have."""
    return sorted(
        ((name, spec) for name, spec in tasks_of(pack).items() if spec.pack in (pack.about.id, "language")),
        key=lambda one: (("all", "train", "heldout", "public").index(one[1].split), one[1].k),
    )


def _row(pack: Pack, item: Item) -> dict[str, Any]:
    return item.record(private=False) | {
        "id": item.id,
        "limit": item.limit,
        **{name: render(pack, name, item) for name in STUDENT_PROMPTS},
    }


def _schema(names: Iterable[str], **others: pa.DataType) -> pa.Schema:
    """Columns of text, but for the `others`."""
    return pa.schema([(name, others.get(name, pa.string())) for name in names])


_ITEMS = _schema(
    COLUMNS,
    k=pa.int32(),
    limit=pa.int32(),
    skills=pa.list_(pa.struct(_schema(("id", "name", "category", "definition", "example")))),
    topic=pa.struct(_schema(("id", "name"))),
)
_SKILLS = _schema(
    ("id", "name", "aliases", "category", "source", "wikipedia", "definition", "example", "common"),
    aliases=pa.list_(pa.string()),
)
_TOPICS = _schema(("id", "name", "split", "source"))


def _parquet(rows: Sequence[dict[str, Any]], schema: pa.Schema) -> bytes:
    """The rows as Parquet: the same bytes for the same rows, with the same release of pyarrow."""
    buffer = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), buffer, compression="zstd")
    return buffer.getvalue()


def _card(pack: Pack, configs: Sequence[Config], repo: str) -> str:
    items = sum(config.rows for config in configs if config.task)
    default = next((config for config in configs if config.task), configs[0])
    metadata = DatasetCardData(
        license=known_license(pack.about.license, "license: "),
        language=["en"],
        pretty_name=f"SKILL-MIX: {pack.about.title}",
        size_categories=[size_category(items)],
        task_categories=["text-generation"],
        tags=tags(MARK, "benchmark", "compositional-generalization", "llm-as-a-judge"),
        configs=card_configs({config.name: {"test": data_file(config.name)} for config in configs}, default.name),
    )
    return render_card(
        "dataset",
        metadata,
        repo=repo,
        pack=pack,
        configs=configs,
        default=default,
        columns=COLUMNS,
        items=items,
        ours={part: sum(one.source == "ours" for one in getattr(pack, part)) for part in ("skills", "topics")},
        sides={
            split: {"skills": len(pack.skills_of(split)), "topics": len(pack.topics_of(split))}
            for split in ("all", "train", "heldout", "public")
        },
    )
