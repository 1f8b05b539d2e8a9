"""The real answers that lie beside the repository; tests that need them are skipped where they do not."""

import csv
import os
import sys
from pathlib import Path

import pytest

FOLDER = Path(os.environ.get("SKILLMIX_REFERENCE") or Path(__file__).parents[4] / "shared" / "reference")


def rows() -> list[dict[str, str]]:
    """All records of the re-run: prompts (user_0, user_1), replies (assistant_*) and extracted texts (text_*)."""
    return [row for path in sorted(folder().glob("test/*/*/records.csv")) for row in _read(path)]


def skills() -> dict[str, dict[str, str]]:
    """The released skills by name."""
    return {row["skill"]: row for row in _read(folder() / "skills.csv")}


def tell(figure: str) -> None:
    """Shows a measured figure under `pytest -s`."""
    sys.stdout.write(f"{figure}\n")


def folder() -> Path:
    """The data's folder."""
    if not FOLDER.is_dir():
        pytest.skip("no reference data: put the reference implementation's files into ../shared/reference")
    return FOLDER


def _read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8-sig", newline="") as file:
        return list(csv.DictReader(file))
