"""From the rows of accepted texts to a data set that `datasets.load_dataset(DIR, "k1-2")` reads.

    DIR/rows_k1.jsonl, rows_k2.jsonl, ...      the accepted texts
    DIR/data/k1/train-00000-of-00001.parquet   a config for each k, and one for all up to each k
    DIR/data/k1-2/validation-00000-of-00001.parquet
    DIR/README.md                              the configs as `datasets` reads them, and the columns

The same rows, seed and text give the same bytes, with the same release of pyarrow. Nothing is held in memory but
the ids of validation rows and 1,000 rows at a time.
"""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from hashlib import sha256
from itertools import chain, islice
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import yaml

from grading import UserError
from grading.safety.atomic import sync_all, write_atomic
from grading.safety.templates import own_template
from training.data.mix import Mix, draw_texts, read_texts
from training.data.rows import COLUMNS, FEATURES, Row, read_rows, rows_files

SPLITS = ("train", "validation")
_GROUP = 1000  # rows in a Parquet row group
_ONE_FILE = "-00000-of-00001.parquet"


@dataclass(frozen=True)
class Config:
    """A named part of the data set: its ks, and how many rows each of its splits has; an empty one is left out."""

    name: str
    ks: tuple[int, ...]
    splits: dict[str, int]


def config_names(ks: Iterable[int]) -> dict[str, tuple[int, ...]]:
    """The ks of each config: k1, k2, k3, k1-2, k1-2-3."""
    ordered = tuple(sorted(ks))
    alone = {f"k{k}": (k,) for k in ordered}
    joined = (ordered[:number] for number in range(2, len(ordered) + 1))
    return alone | {f"k{'-'.join(map(str, some))}": some for some in joined}


def check_share(validation: float) -> None:
    """Raise UserError unless `validation` can be the share of the rows that is held back."""
    if not 0 <= validation < 1:
        raise UserError(
            f"{validation} is not a share of the rows for validation: give a number from 0 to below 1."
        )


def build_dataset(
    folder: Path, *, seed: int = 0, validation: float = 0.02, mix: Mix | None = None
) -> list[Config]:
    """Make the data set of the rows in `folder`, in place of an earlier one there, and return its configs.

    The share `validation` of each k's rows is held back. UserError if there are no rows, or one cannot be read.
    """
    check_share(validation)
    sources = {k: path for k, path in rows_files(folder).items() if path.stat().st_size}
    if not sources:
        raise UserError(f"{folder} holds no accepted texts (rows_k*.jsonl): make some with `skillmix generate`.")
    draft = folder / ".data"
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    try:
        draft.mkdir()
        configs = _write(sources, draft, seed, validation, mix)
        sync_all(draft)
        shutil.rmtree(folder / "data", ignore_errors=True)
        draft.rename(folder / "data")
    except OSError as error:
        raise UserError(f"The data set cannot be written to {folder} ({error.strerror}).") from error
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    write_atomic(folder / "README.md", _readme(folder, configs, mix))
    return configs


def _write(sources: dict[int, Path], draft: Path, seed: int, validation: float, mix: Mix | None) -> list[Config]:
    held: dict[int, frozenset[str]] = {}
    trained: dict[int, int] = {}
    for k, path in sources.items():
        held[k] = validation_ids((row.id for row in read_rows(path)), seed=seed, share=validation)
        trained[k] = sum(row.id not in held[k] for row in read_rows(path))
    texts = draft / "mix.jsonl"
    if mix:
        draw_texts(mix, mix.rows(sum(trained.values())), seed, texts)
    configs = []
    for name, ks in config_names(sources).items():
        rows = chain.from_iterable(read_rows(sources[k]) for k in ks)
        apart = frozenset[str]().union(*(held[k] for k in ks))
        stream = _with_texts(rows, apart, sum(trained[k] for k in ks), mix, texts)
        configs.append(Config(name, ks, _write_splits(draft / name, stream)))
    texts.unlink(missing_ok=True)
    return configs


def _with_texts(
    rows: Iterable[Row], apart: frozenset[str], trained: int, mix: Mix | None, texts: Path
) -> Iterator[tuple[str, Row]]:
    """Each row with its split; between those of train the pre-training text, as evenly as can be."""
    number = mix.rows(trained) if mix else 0
    extra = read_texts(texts, number) if number else iter(())
    place = 0
    for row in rows:
        if row.id in apart:
            yield "validation", row
            continue
        yield "train", row
        for text in islice(extra, number * (place + 1) // trained - number * place // trained):
            yield "train", Row.of_text(text)
        place += 1


def _write_splits(folder: Path, stream: Iterable[tuple[str, Row]]) -> dict[str, int]:
    """Write one Parquet file for each split that has rows, and return how many."""
    folder.mkdir()
    waiting: dict[str, list[dict[str, Any]]] = {}
    numbers: Counter[str] = Counter()
    with ExitStack() as stack:
        writers: dict[str, pq.ParquetWriter] = {}

        def flush(split: str) -> None:
            if split not in writers:
                path = folder / f"{split}{_ONE_FILE}"
                writers[split] = stack.enter_context(
                    pq.ParquetWriter(path, FEATURES.arrow_schema, compression="zstd")
                )
            writers[split].write_table(pa.Table.from_pylist(waiting.pop(split), schema=FEATURES.arrow_schema))

        for split, row in stream:
            waiting.setdefault(split, []).append(row.record())
            numbers[split] += 1
            if len(waiting[split]) == _GROUP:
                flush(split)
        for split in list(waiting):
            flush(split)
    return {split: numbers[split] for split in SPLITS if numbers[split]}


def _readme(folder: Path, configs: Sequence[Config], mix: Mix | None) -> str:
    names = {config.name: parquet_files(config.name, config.splits) for config in configs}
    header = {
        "configs": card_configs(names, configs[-1].name),
        # `datasets` keeps what it has read of a folder of this name by its header alone, so that must change with
        # the rows.
        "dataset_info": [_info(folder / "data" / config.name, config) for config in configs],
    }
    body = own_template("training", "templates", "dataset.md.jinja").render(
        configs=configs, splits=SPLITS, columns=COLUMNS, mixed=mix is not None, share=mix.share if mix else 0
    )
    return f"---\n{yaml.safe_dump(header, sort_keys=False)}---\n\n{body}\n"


def _info(folder: Path, config: Config) -> dict[str, Any]:
    """Rows and bytes of a config, as cards have them."""
    files = {split: folder / f"{split}{_ONE_FILE}" for split in config.splits}
    held = {split: pq.read_metadata(path) for split, path in files.items()}
    sizes = {
        split: sum(one.row_group(number).total_byte_size for number in range(one.num_row_groups))
        for split, one in held.items()
    }
    return {
        "config_name": config.name,
        "splits": [
            {"name": split, "num_bytes": sizes[split], "num_examples": number}
            for split, number in config.splits.items()
        ],
        "download_size": sum(path.stat().st_size for path in files.values()),
        "dataset_size": sum(sizes.values()),
    }


def parquet_files(config: str, splits: Iterable[str]) -> dict[str, str]:
    """The files of each split of a config, as cards name them."""
    return {split: f"data/{config}/{split}-*.parquet" for split in splits}


def card_configs(files: Mapping[str, Mapping[str, str]], default: str) -> list[dict[str, Any]]:
    """The configs in the header of a card, from each config's files by split."""
    return [
        {
            "config_name": name,
            **({"default": True} if name == default else {}),
            "data_files": [{"split": split, "path": path} for split, path in splits.items()],
        }
        for name, splits in files.items()
    ]


FEW = 20  # fewer rows are not worth a split


def validation_ids(ids: Iterable[str], *, seed: int, share: float) -> frozenset[str]:
    """About the `share` of `ids` that a hash with `seed` puts on the validation side.

    At least one where there are 20 or more, and none where there are fewer. But for that, an id is on the same
    side whatever the other ids are: a text that was held back once stays held back when more are accepted.
    """
    chosen: set[str] = set()
    number, first = 0, (2.0, "")
    for number, name in enumerate(ids, start=1):  # noqa: B007 - their number is needed
        place = int.from_bytes(sha256(f"validation|{seed}|{name}".encode()).digest()[:8]) / 2**64
        first = min(first, (place, name))
        if place < share:
            chosen.add(name)
    if number < FEW or share == 0:
        return frozenset()
    return frozenset(chosen or {first[1]})
