"""Items from a data set on the Hugging Face Hub that `skillmix push dataset` made, in place of a pack here.

    data/k4/test-00000-of-00001.parquet    the items of skillmix_k4, one row each; a config for each task
    pack/                                  the pack that they were drawn from, as docs/packs.md describes it

The rows name an item's skills and topic, the pack has their texts, and the hash in a row shows whether both belong
together.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from pydantic import BaseModel, Field, field_validator

from grading import UserError
from skillmix_tasks.items.draw import Item, make_item
from skillmix_tasks.items.pack import Pack, Split

PACK_FOLDER = "pack"
_ROWS = 16  # read at a time
_MOST_ROW = 2**20  # bytes of one item's skills and topic


class ItemsFrom(BaseModel, extra="forbid", frozen=True):
    """A data set's id and its revision: a commit's hash, or a tag; results carry the hash in any case."""

    path: str
    revision: str = Field(min_length=1)

    @field_validator("path")
    @classmethod
    def _on_the_hub(cls, path: str) -> str:
        if not re.fullmatch(r"[\w.-]+/[\w.-]+", path):
            raise ValueError("a data set on the Hub is ORG/NAME")
        return path


def config_of(task: str) -> str:
    """The name of the config that holds a task's items: "k4" of skillmix_k4."""
    return task.removeprefix("skillmix_")


def data_file(config: str) -> str:
    """The file of a config's rows in the repository."""
    return f"data/{config}/test-00000-of-00001.parquet"


def read_hub_items(source: ItemsFrom, *, task: str, split: Split, number: int) -> tuple[Pack, list[Item], str]:
    """The pack of the data set `source`, the first `number` items of `task` in it, and the commit's hash.

    Raises UserError if it cannot be downloaded, lacks the task or so many items, or an item does not match its
    pack.
    """
    from skillmix_tasks.items.pack_files import read_pack
    from skillmix_tasks.items.prompts import check_prompts

    folder = _download(source, [f"{PACK_FOLDER}/*", data_file(config_of(task))])
    data = folder / data_file(config_of(task))
    if not data.is_file() or not (folder / PACK_FOLDER).is_dir():
        raise UserError(
            f"The data set {source.path} at {source.revision} has no items of {task}: name one that "
            "`skillmix push dataset` made, or leave out `items_from`."
        )
    pack = read_pack(folder / PACK_FOLDER)
    check_prompts(pack)
    rows = _rows(data, number)
    if len(rows) < number:
        raise UserError(
            f"The data set {source.path} has {len(rows)} items of {task}, and the run needs {number}: set "
            f'"items" to {len(rows)} or less, or push it again with --items {number}.'
        )
    return pack, [_item(pack, split, row, source) for row in rows], folder.name


def _rows(data: Path, number: int) -> list[dict[str, Any]]:
    """The first rows of a Parquet file; few at a time, as a small file can hold one text a million times."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    rows: list[dict[str, Any]] = []
    try:
        with pq.ParquetFile(data) as file:
            for batch in file.iter_batches(batch_size=_ROWS, columns=["hash", "skills", "topic"]):
                if batch.nbytes > _ROWS * _MOST_ROW:
                    raise UserError(f"{data} has items of more than {_MOST_ROW // 2**10} KiB: it is damaged.")
                rows += batch.to_pylist()
                if len(rows) >= number:
                    break
    except (pa.ArrowException, OSError) as error:
        raise UserError(f"{data} cannot be read ({str(error).splitlines()[0]}): take another revision.") from error
    return rows[:number]


def _item(pack: Pack, split: Split, row: dict[str, Any], source: ItemsFrom) -> Item:
    skills = {skill.id: skill for skill in pack.skills}
    topics = {topic.id: topic for topic in pack.topics}
    names, topic = [skill["id"] for skill in row["skills"]], row["topic"]["id"]
    if topic in topics and set(names) <= skills.keys():
        item = make_item(pack, split, [skills[name] for name in names], topics[topic])
        if item.hash == row["hash"]:
            return item
    raise UserError(
        f"The item {row['hash']} of the data set {source.path} does not belong to its pack: somebody changed one "
        "of them; take another revision."
    )


def _download(source: ItemsFrom, patterns: list[str]) -> Path:
    """The folder of the snapshot, which is named by its commit."""
    from httpx2 import HTTPError
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import LocalEntryNotFoundError, RepositoryNotFoundError, RevisionNotFoundError

    try:
        return Path(
            snapshot_download(source.path, repo_type="dataset", revision=source.revision, allow_patterns=patterns)
        )
    except RepositoryNotFoundError as error:
        raise UserError(
            f"There is no data set {source.path} on the Hub, or it is private: type `hf auth login` if it "
            "is yours."
        ) from error
    except RevisionNotFoundError as error:
        raise UserError(f"The data set {source.path} has no revision {source.revision}.") from error
    except (LocalEntryNotFoundError, HTTPError) as error:
        raise UserError(
            f"The data set {source.path} cannot be downloaded from the Hub now, and is not in the cache: try "
            "again later."
        ) from error
