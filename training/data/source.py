"""The data that a training run is given: a directory of `skillmix generate`, or a data set of the Hub."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from yaml import YAMLError

from grading import UserError
from training.data.leakage import Leakage, check_leaks

if TYPE_CHECKING:
    from datasets import Dataset

_HUB_ID = re.compile(r"(?P<name>[\w-][\w.-]*/[\w-][\w.-]*)(@(?P<revision>[\w./-]+))?")
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

    def leaks(self, tasks: tuple[str, ...]) -> Leakage:
        """What the rows give away of `tasks`; UserError if that cannot be told."""
        own = self.folder / "data" / self.config  # where `skillmix generate` puts a config's files
        try:
            return check_leaks(own if own.is_dir() else self.folder, tasks=tasks)
        except UserError as error:
            raise UserError(
                f"Whether {self.name} leaks into {', '.join(tasks)} cannot be told: {error} With --allow-leaks it "
                "is trained on without a check, with --set leak_tasks=[] none is asked for."
            ) from error


def open_source(data: str, config: str | None) -> Source:
    """The data set `data` (a directory, or ORG/NAME or ORG/NAME@REVISION of the Hub) in `config`, or its default.

    Raises UserError if it is not there, cannot be read, or has no such config or no train split.
    """
    folder, name, revision = _folder_of(data)
    import datasets

    _check_card(folder, data)
    try:
        names = datasets.get_dataset_config_names(str(folder))
        chosen = config or datasets.get_dataset_default_config_name(str(folder)) or names[0]
        if chosen not in names:
            raise UserError(
                f"{data} has no config {chosen!r}, it has {', '.join(names)}: type --set data_config={names[-1]}."
            )
        splits = datasets.load_dataset(str(folder), chosen)
    except (OSError, ValueError, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{data} is no data set that can be read ({reason}): name a directory of `skillmix generate`."
        ) from error
    if "train" not in splits or not len(splits["train"]):
        raise UserError(f"The config {chosen} of {data} has no rows to train on.")
    return Source(name, revision, folder, chosen, splits["train"], splits.get("validation"))


def texts_of(rows: Dataset) -> Iterator[dict[str, Any]]:
    """What is trained on of each row: its `id`, `messages` and `text`."""
    columns = [name for name in ("id", "messages", "text") if name in rows.column_names]
    yield from rows.select_columns(columns)


def _check_card(folder: Path, data: str) -> None:
    """A card says which files are read: of its own folder, and neither addresses nor other files of this machine.

    Raises UserError with the first that is another.
    """
    from huggingface_hub import DatasetCard

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
    """All that stands under data_files or data_dir."""
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
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    try:
        got = snapshot_download(
            asked["name"], repo_type="dataset", revision=asked["revision"], allow_patterns=_FILES
        )
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(
            f"{data} is no directory, and the Hub does not give it ({reason}): look at its name and at HF_TOKEN."
        ) from error
    return Path(got), asked["name"], Path(got).name  # it lies under snapshots/<commit>/
