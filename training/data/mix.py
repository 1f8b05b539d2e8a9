"""Pre-training text that is mixed into the train split: read in a stream, drawn by a seed."""

from __future__ import annotations

import heapq
import json
from collections.abc import Iterator
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Any, cast

import datasets
import pyarrow as pa

from grading import UserError

_BUILDERS: dict[str, tuple[str, dict[str, Any]]] = {
    ".txt": ("text", {"sample_by": "paragraph"}),
    ".jsonl": ("json", {}),
    ".json": ("json", {}),
    ".parquet": ("parquet", {}),
}
_FORMS = ".txt (a text for each paragraph), .jsonl or .parquet, or the directory of a data set"


@dataclass(frozen=True)
class Mix:
    """The source of the text, and its share of the rows of a train split (above 0, below 1).

    `source` is a file (.txt, .jsonl, .parquet) or a directory that `datasets` can read, with a column `text`.
    """

    source: Path
    share: float

    def __post_init__(self) -> None:
        if not 0 < self.share < 1:
            raise UserError(f"--mix-share {self.share} is not a share of the rows: give a number between 0 and 1.")

    def check(self) -> None:
        """Raise UserError, in one sentence, if the source has no readable text."""
        if next(_texts(self.source), None) is None:
            raise UserError(f"{self.source} holds no text: name a file {_FORMS}.")

    def rows(self, generated: int) -> int:
        """The number of rows of text beside so many generated ones."""
        return round(generated * self.share / (1 - self.share))


def draw_texts(mix: Mix, number: int, seed: int, target: Path) -> None:
    """Write `number` texts to `target`, a line of JSON each: [rank, text], in the order of the source.

    A text's rank is its place when all are sorted by a hash with `seed`, so the ranks below m are a draw of m.
    Reads the source twice and keeps `number` places of it in memory. UserError if there are not so many texts.
    """
    ranked = heapq.nsmallest(number, (_rank(seed, place) for place, _ in enumerate(_texts(mix.source))))
    if len(ranked) < number:
        raise UserError(
            f"{mix.source} has {len(ranked):,} texts, and a share of {mix.share} needs {number:,}: give more "
            "text, or a smaller --mix-share."
        )
    ranks = {place: rank for rank, (_, place) in enumerate(ranked)}
    with target.open("w", encoding="utf-8") as file:
        for place, text in enumerate(_texts(mix.source)):
            if place in ranks:
                file.write(json.dumps([ranks[place], text]) + "\n")


def read_texts(path: Path, number: int) -> Iterator[str]:
    """The texts with ranks below `number` of a file that `draw_texts` wrote."""
    with path.open(encoding="utf-8") as file:
        for line in file:
            rank, text = json.loads(line)
            if rank < number:
                yield text


def _rank(seed: int, place: int) -> tuple[bytes, int]:
    return sha256(f"mix|{seed}|{place}".encode()).digest()[:8], place


def _texts(source: Path) -> Iterator[str]:
    """All texts of the source that are not blank."""
    try:
        for row in _open(source):
            text = row.get("text")
            if not isinstance(text, str):
                raise UserError(f"{source} has no column `text` with text in it: it has {', '.join(row)}.")
            if text.strip():
                yield text
    except (OSError, ValueError, pa.ArrowException, datasets.exceptions.DatasetsError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise UserError(f"The text in {source} cannot be read ({reason}): name a file {_FORMS}.") from error


def _open(source: Path) -> Iterator[dict[str, Any]]:
    if not source.exists():
        raise UserError(
            f"There is no {source}: --mix takes a file {_FORMS}. One of the Hub has to be downloaded first: "
            "hf download --repo-type dataset NAME --local-dir DIR."
        )
    if source.is_file():
        if source.suffix not in _BUILDERS:
            raise UserError(f"{source} has no known form: name a file {_FORMS}.")
        builder, options = _BUILDERS[source.suffix]
        stream = datasets.load_dataset(builder, data_files=str(source), split="train", streaming=True, **options)
    elif (source / "dataset_dict.json").is_file() or (source / "state.json").is_file():
        stream = datasets.load_from_disk(str(source))
        if isinstance(stream, datasets.DatasetDict):
            stream = stream["train"]
    else:
        stream = datasets.load_dataset(str(source), split="train", streaming=True)
    return cast("Iterator[dict[str, Any]]", iter(stream))
