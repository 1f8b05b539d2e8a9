"""The data that a training run is given: folders of `skillmix generate` and data sets of the Hub, one or several.

--data texts                           one data set, in the recipe's config
--data texts --data more:k4=1000       and 1,000 rows of the config k4 of another
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import datasets
from datasets import Dataset
from huggingface_hub import DatasetCard, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError
from yaml import YAMLError

from grading import JudgeSpec, UserError
from grading.models.judge import default_judge
from grading.models.spec import LOCAL_PREFIX
from training.data.folder import record_of
from training.data.leakage import Leakage, check_leaks

_HUB_ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")
# A name is as short as it can be: a config and a number of rows at its end are not part of it.
_GIVEN = re.compile(r"(?P<data>.+?)(:(?P<config>[\w-]+))?(=(?P<rows>\d{1,10}))?")
_COLUMNS = ("id", "messages", "text")  # that are trained on
_FILES = ["*.parquet", "*.jsonl", "*.json", "README.md"]


@dataclass(frozen=True)
class Source:
    """One config of a data set.

    `name` is its Hub id, or its directory's own name; `revision` a commit of the Hub. `validation` is None where
    the data set has no such split.
    """

    name: str
    revision: str | None
    folder: Path
    config: str
    train: Dataset
    validation: Dataset | None
    rows: int | None = None
    """So many of the rows for training were drawn; None is all of them."""

    def record(self) -> dict[str, Any]:
        """The data set's identity in a run's record."""
        return {"name": self.name, "revision": self.revision, "config": self.config}

    def leaks(self, tasks: tuple[str, ...], pack: str | None = None) -> Leakage:
        """The items of `tasks` that the rows hold; UserError if that cannot be checked.

        `pack` is the pack of the rows, which has to be named if it is not a bundled one.
        """
        own = self.folder / "data" / self.config  # where `skillmix generate` puts a config's files
        try:
            return check_leaks(own if own.is_dir() else self.folder, tasks=tasks, pack=pack)
        except UserError as error:
            raise UserError(
                f"{self.name} cannot be checked for leaks into {', '.join(tasks)}: {error} Add --allow-leaks to "
                "train without a check, or --set leak_tasks=[] to require none."
            ) from error


def open_source(data: str, config: str | None) -> Source:
    """The data set `data` (a directory, or ORG/NAME or ORG/NAME@REVISION of the Hub) in `config`, or its default.

    Raises UserError if it is not there, cannot be read, or has no such config or no train split.
    """
    folder, name, revision = _folder_of(data)
    _check_card(folder, data)
    try:
        names = datasets.get_dataset_config_names(str(folder))
        chosen = config or datasets.get_dataset_default_config_name(str(folder)) or names[0]
        if chosen not in names:
            raise UserError(
                f"{data} has no config {chosen!r}, it has {', '.join(names)}: type --set data_config={names[-1]}."
            )
        splits = datasets.load_dataset(str(folder), chosen, cache_dir=None if revision else _cache_of(folder))
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{data} is not a readable data set ({reason}): name a directory of `skillmix generate`."
        ) from error
    if "train" not in splits or not len(splits["train"]):
        raise UserError(f"The config {chosen} of {data} has no rows to train on.")
    return Source(name, revision, folder, chosen, splits["train"], splits.get("validation"))


def _cache_of(folder: Path) -> str:
    """The cache of `datasets` for a folder: by itself it does not notice changed files."""
    found = sorted(path for path in folder.rglob("*") if path.is_file() and path.suffix != ".md")
    states = [(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in found]
    name = sha256(repr(states).encode()).hexdigest()[:16]
    return str(Path(datasets.config.HF_DATASETS_CACHE) / f"skillmix-{name}")


@dataclass(frozen=True)
class Data:
    """All rows that a run trains on, of one data set or of several one after another."""

    sources: tuple[Source, ...]
    train: Dataset
    validation: Dataset | None

    @property
    def name(self) -> str:
        return " + ".join(source.name for source in self.sources)

    def record(self) -> dict[str, Any]:
        """The data's identity; a single data set with all its rows is recorded as it always was."""
        if len(self.sources) == 1 and self.sources[0].rows is None:
            return self.sources[0].record()
        return {
            "name": self.name,
            "revision": None,
            "config": " + ".join(source.config for source in self.sources),
            "parts": [source.record() | {"rows": len(source.train)} for source in self.sources],
        }

    def leaks(self, tasks: tuple[str, ...], pack: str | None = None) -> Leakage:
        """The items of `tasks` that the rows' configs hold; UserError if that cannot be checked."""
        found = [source.leaks(tasks, pack) for source in self.sources]
        for other in found[1:]:
            found[0].add(other)
        return found[0]


def judge_options(given: Sequence[str]) -> list[str]:
    """The options that name the judge of these data sets' texts to the next command, else the default judge.

    Empty if the environment names the judge. Records hold no address: `URL` is left to fill in.
    """
    if os.environ.get(JudgeSpec.variable("MODEL")):
        return []
    matches = [_GIVEN.fullmatch(one) for one in given]
    folders = [Path(match["data"]) for match in matches if match]
    records = (record_of(folder) or {} for folder in folders)
    record: dict[str, Any] = next((one["judge"] for one in records if "judge" in one), {})
    judges = [one for one in record.get("panel", [record]) if "model" in one]
    if not judges:
        return ["--judge", default_judge()]
    prefixes = [LOCAL_PREFIX if one["endpoint"] == "transformers" else "" for one in judges]
    options = [
        word for one, prefix in zip(judges, prefixes, strict=True) for word in ("--judge", prefix + one["model"])
    ]
    elsewhere = any(one["endpoint"] == "openai-compatible" for one in judges)
    address = elsewhere and not os.environ.get(JudgeSpec.variable("BASE_URL"))
    return [*options, *(["--judge-base-url", "URL"] if address else [])]


def open_data(given: Sequence[str], config: str | None, seed: int) -> Data:
    """The data sets `given`, each as DIR or ORG/NAME[@REVISION], followed by :CONFIG and =ROWS.

    `config` is that of the first one, unless it names its own; others have their default. `seed` draws rows.
    Raises UserError as `open_source`, if one is given twice or has fewer rows, or if they do not go together.
    """
    if len(set(given)) < len(given):
        raise UserError(f"--data {next(one for one in given if given.count(one) > 1)} is given twice.")
    sources = tuple(_open_part(one, config if place == 0 else None, seed) for place, one in enumerate(given))
    if len(sources) == 1:
        return Data(sources, sources[0].train, sources[0].validation)
    validations = [one.validation for one in sources if one.validation is not None]
    return Data(
        sources,
        _joined([one.train for one in sources], given),
        _joined(validations, given) if validations else None,
    )


def _open_part(given: str, config: str | None, seed: int) -> Source:
    named = None if Path(given).exists() else _GIVEN.fullmatch(given)
    if named is None:
        return open_source(given, config)
    source = open_source(named["data"], named["config"] or config)
    if named["rows"] is None:
        return source
    rows = int(named["rows"])
    return replace(source, train=_drawn(source.train, rows, seed, given), rows=rows)


def _drawn(rows: Dataset, number: int, seed: int, given: str) -> Dataset:
    """`number` of `rows` in their order: those whose ids a hash with `seed` puts first; more hold fewer."""
    if not 1 <= number <= len(rows):
        raise UserError(
            f"--data {given} requests {number:,} rows of {len(rows):,}: give a number from 1 to {len(rows):,}, or "
            "none for all."
        )
    ids = rows["id"] if "id" in rows.column_names else range(len(rows))
    ranks = [sha256(f"rows|{seed}|{name}".encode()).digest() for name in ids]
    first = sorted(range(len(rows)), key=lambda place: (ranks[place], place))[:number]
    return rows.select(sorted(first))


def _joined(parts: Sequence[Dataset], given: Sequence[str]) -> Dataset:
    common = [name for name in _COLUMNS if all(name in part.column_names for part in parts)]
    lost = {name for part in parts for name in _COLUMNS[1:] if name in part.column_names} - set(common)
    if lost:
        raise UserError(
            f"--data {' --data '.join(given)}: not all of them have the column {min(lost)}, so they do not go "
            "together."
        )
    try:
        return datasets.concatenate_datasets([part.select_columns(common) for part in parts])
    except ValueError as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"--data {' --data '.join(given)}: their columns do not go together ({reason})."
        ) from error


def texts_of(rows: Dataset) -> Iterator[dict[str, Any]]:
    """The columns for training of each row: its `id`, `messages` and `text`."""
    columns = [name for name in _COLUMNS if name in rows.column_names]
    yield from rows.select_columns(columns)


def _check_card(folder: Path, data: str) -> None:
    """A card says which files are read: of its own folder, and neither addresses nor other files of this machine.

    Raises UserError with the first that is another.
    """
    card = folder / "README.md"
    if not card.is_file():
        return
    try:
        configs = DatasetCard.load(card).data.to_dict().get("configs")
    except (ValueError, OSError, YAMLError) as error:
        raise UserError(f"The card {card} cannot be read ({' '.join(str(error).split())}).") from error
    for name in _file_names(configs):
        if "://" in name or "::" in name or Path(name).is_absolute() or ".." in Path(name).parts:
            raise UserError(
                f"The card of {data} names the file {name!r}, which is outside its folder, and is not followed: "
                "put the file into the folder, and its name into the card."
            )


def _file_names(value: Any) -> Iterator[str]:
    """All names under data_files or data_dir."""
    if isinstance(value, list):
        for one in value:
            yield from _file_names(one)
    elif isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(one) if name in ("data_files", "data_dir") else _file_names(one)


def _texts(value: Any) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | dict):
        for one in value.values() if isinstance(value, dict) else value:
            yield from _texts(one)


def _folder_of(data: str) -> tuple[Path, str, str | None]:
    folder = Path(data)
    if folder.is_dir():
        return folder, folder.resolve().name, None
    asked = _HUB_ID.fullmatch(data)
    if folder.exists() or not asked:
        raise UserError(f"There is no data set {data}: name a directory of `skillmix generate`, or ORG/NAME.")
    try:
        got = snapshot_download(
            asked["name"], repo_type="dataset", revision=asked["revision"], allow_patterns=_FILES
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{data} is not a directory, and the Hub does not provide it ({reason}): check its name and HF_TOKEN."
        ) from error
    return Path(got), asked["name"], Path(got).name  # it lies under snapshots/<commit>/
