"""The tables of an experiment (`skillmix tables`) as the page shows them."""

from __future__ import annotations

import base64
from dataclasses import dataclass
from pathlib import Path

from grading import UserError
from grading.safety.bounds import read_bytes
from training.experiment.layout import Table, read_tables

_PNG = b"\x89PNG\r\n\x1a\n"


@dataclass(frozen=True)
class Experiment:
    """The tables, claims first, and the pictures of Figure 2 as base64 by their names."""

    tables: list[Table]
    pictures: dict[str, str]


def read_experiment(folder: Path) -> Experiment:
    """The tables in `folder`; UserError if it holds no tables, or if a picture is not a PNG."""
    pictures = {}
    for path in sorted(folder.glob("figure-2-*.png")):
        image = read_bytes(path)
        if not image.startswith(_PNG):
            raise UserError(f"{path} is not a PNG: run `skillmix tables` again.")
        pictures[path.stem] = base64.b64encode(image).decode()
    return Experiment(read_tables(folder).tables, pictures)
