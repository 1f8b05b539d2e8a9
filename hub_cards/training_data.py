"""A folder of `skillmix generate` as a data set on the Hub."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import DatasetCardData

from grading import UserError
from hub_cards.cards import need, refuse_gaps, render_card, size_category, tags
from hub_cards.hub.files import File, LeftOut, files_of, open_within
from hub_cards.hub.publication import CARD, Publication
from hub_cards.hub.records import json_file, read_record
from hub_cards.hub.scrub import local_paths, scrub, without_paths
from skillmix_tasks.items.licenses import known_license
from training.data.dataset import card_configs, parquet_files
from training.data.leakage import check_leaks
from training.data.rows import COLUMNS

MARK = "training-data"
_MADE_BY = "`skillmix generate`"
_SPECS = ("teacher", "judge")  # columns that hold a model's spec as JSON text


def training_data(folder: Path, *, repo: str, license_: str | None, pack: str | None = None) -> Publication:
    """The data set in `folder` with its summary and its card; `pack` is the rows' pack if it is not a bundled one.

    Raises UserError if the folder is not one of ours, a fact is missing, or the rows leak items of a task.
    """
    run = read_record(folder / "run.json", _MADE_BY, within=folder)
    counts = read_record(folder / "counts.json", _MADE_BY, within=folder)
    facts = ("plan", "pack.id", "pack.version", "pack.hash", "seed", "turns", "teacher.model", "judge")
    refuse_gaps({"license": (license_, "--license cc-by-4.0")}, {"run.json": (run, facts)})
    assert license_ is not None
    known_license(license_, "--license ")
    parquet = {
        path: open_within(folder, file)
        for path, file in files_of(folder)
        if path.startswith("data/") and path.endswith(".parquet")
    }
    if not parquet:
        raise UserError(f"{folder} has no data set: no text was accepted, or `skillmix generate` is incomplete.")
    found = check_leaks(folder, pack=pack)
    if found.leaks:
        raise UserError(
            f"{folder} leaks items of the tasks, and is not published: `skillmix leaks {folder}` shows where."
        )
    public = scrub(run)
    files = [File(path, _without_paths(file)) for path, file in parquet.items()]
    files += [File("run.json", json_file(public)), File("counts.json", json_file(counts))]
    for name in ("summary.md", "summary.png"):
        if (folder / name).is_file():
            files.append(File(name, _text_without_paths(open_within(folder, folder / name), name, run)))
    configs = _configs(parquet)
    card = _card(public, counts, configs, found.record(), repo, license_)
    return Publication(card, tuple(files), _left_out(folder, files))


def _configs(parquet: dict[str, Path]) -> list[dict[str, Any]]:
    """Name, ks and rows by split of each config, the largest last."""
    rows: dict[str, dict[str, int]] = {}
    for path, file in parquet.items():
        _, config, name = path.split("/")
        split = name.split("-")[0]
        splits = rows.setdefault(config, {})
        splits[split] = splits.get(split, 0) + pq.read_metadata(file).num_rows
    return [
        {"name": name, "splits": splits}
        for name, splits in sorted(rows.items(), key=lambda one: (one[0].count("-"), one[0]))
    ]


def _without_paths(path: Path) -> Path | bytes:
    """The file, or its content with the paths of models in the specs cut to names."""
    table = pq.read_table(path)
    changed = False
    for column in _SPECS:
        encoded = table[column].combine_chunks().dictionary_encode()
        texts = encoded.dictionary.to_pylist()
        public = [json.dumps(scrub(json.loads(text))) if text else text for text in texts]
        if any(list(local_paths(json.loads(text))) for text in texts if text):
            changed = True
            values = pa.DictionaryArray.from_arrays(encoded.indices, pa.array(public, pa.string()))
            table = table.set_column(table.column_names.index(column), column, values.cast(pa.string()))
    if not changed:
        return path
    buffer = io.BytesIO()
    pq.write_table(table, buffer, compression="zstd", row_group_size=1000)
    return buffer.getvalue()


def _text_without_paths(path: Path, name: str, run: dict[str, Any]) -> Path | bytes:
    return without_paths(path, local_paths(run)) if name.endswith(".md") else path


def _left_out(folder: Path, files: Sequence[File]) -> tuple[LeftOut, ...]:
    planned = {file.path for file in files} | {CARD}
    return tuple(
        LeftOut(path, "its rows are in data/" if path.startswith("rows_k") else "no part of the data set")
        for path, _ in files_of(folder)
        if path not in planned
    )


def _card(
    run: dict[str, Any],
    counts: dict[str, Any],
    configs: list[dict[str, Any]],
    leaks: dict[str, Any],
    repo: str,
    license_: str,
) -> str:
    metadata = DatasetCardData(
        license=license_,
        language=["en"],
        pretty_name=f"SKILL-MIX training texts: {repo.rpartition('/')[2]}",
        size_categories=[size_category(leaks["rows"])],
        task_categories=["text-generation"],
        tags=tags(MARK, "synthetic", "compositional-generalization"),
        configs=card_configs(
            {one["name"]: parquet_files(one["name"], one["splits"]) for one in configs}, configs[-1]["name"]
        ),
    )
    return render_card(
        "training_data",
        metadata,
        repo=repo,
        run=run,
        kinds=need(counts, "kinds", where="counts.json"),
        configs=configs,
        splits=list(dict.fromkeys(split for config in configs for split in config["splits"])),
        columns=COLUMNS,
        leaks=leaks,
        license=license_,
    )
