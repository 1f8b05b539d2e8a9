"""The gradings in a checkout of the reference implementation, and the faults of the files."""

from __future__ import annotations

import csv
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from io import TextIOWrapper
from pathlib import Path

from grading import UserError
from grading.commands.words import listed, many
from grading.safety.bounds import MOST_FILE, open_file

_RUN = re.compile(r"k(?P<k>\d+)_s(?P<seed>-?\d+)_v(?P<version>.+)_r(?P<generation>\d+)")
_GRADED = re.compile(r"by_(?P<grader>.+)_on_(?P<column>\D+_\d+)_(?P<grading>\d+)_(?P<prompt>[^_]+)")


@dataclass(frozen=True, order=True)
class Series:
    """One student's answers to one set of items, and one judge's gradings of them.

    `version` is the student's prompt, `column` the answers that were graded (text_1: those of the second turn),
    `prompt` the judge's.
    """

    student: str
    k: int
    seed: int
    version: str
    grader: str
    column: str
    prompt: str

    def __str__(self) -> str:
        return f"{self.student} k={self.k} seed={self.seed} graded by {self.grader}"

    def fault(self, what: str, kind: str, *, file: str = "") -> Fault:
        """A fault of the series, or of one of its files."""
        return Fault(file or str(self), what, kind, self)


@dataclass(frozen=True, order=True)
class Fault:
    """A fault of a file, by its path in the checkout.

    `kind` is a noun for faults of its sort, "missing grading"; `series` is None where the file is of none.
    """

    file: str
    what: str
    kind: str
    series: Series | None = field(default=None, compare=False)

    def __str__(self) -> str:
        return f"{self.file}: {self.what}"


def grouped(faults: Iterable[Fault]) -> list[str]:
    """A line for each series, with the numbers of its faults by kind and the first of each kind in full.

    Series that have one and the same fault share a line.
    """
    by_series: dict[str, dict[str, list[Fault]]] = {}
    for fault in faults:
        place = str(fault.series) if fault.series else "other folders"
        by_series.setdefault(place, {}).setdefault(fault.kind, []).append(fault)
    lines: list[str] = []
    single: dict[str, list[str]] = {}
    for place, kinds in by_series.items():
        every = [fault for found in kinds.values() for fault in found]
        if len(every) == 1:
            single.setdefault(every[0].what, []).append(every[0].file)
            continue
        counts = ", ".join(many(len(found), kind) for kind, found in kinds.items())
        lines.append(f"{place}: {counts}.")
        for found in kinds.values():
            first = found[0].what if found[0].file == place else str(found[0])
            lines.append(f"  {'such as ' if len(found) > 1 else ''}{first}")
    return [*lines, *(f"{listed(files)}: {what}" for what, files in single.items())]


@dataclass(frozen=True)
class GradingFile:
    """One grading of the answers of one generation; both are numbered from 1."""

    series: Series
    generation: int
    grading: int
    path: Path


def find_gradings(folder: Path) -> tuple[list[GradingFile], list[Fault]]:
    """All grading files under `folder`, sorted, and the folders that look like gradings and are not.

    Raises UserError if there is no grading at all.
    """
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}: name a checkout of the reference implementation.")
    files, faults = [], []
    for place in sorted(folder.glob("**/graded/*/")):
        try:
            found = _grading_file(folder, place)
        except ValueError as error:
            faults.append(Fault(str(place.relative_to(folder)), str(error), "unknown folder"))
            continue
        if found.path.is_file():
            files.append(found)
        else:
            name = str(place.relative_to(folder))
            faults.append(found.series.fault("records.csv is missing", "missing file", file=name))
    if not files:
        raise UserError(
            f"{folder} holds no gradings of the reference implementation: name a checkout of LeoYu/skill-mix or "
            "of a fork, which has them in "
            "EXPERIMENT/k2_s10_vdefault_r1/STUDENT/graded/by_gpt-4_on_text_1_1_gpt/records.csv."
        )
    return sorted(files, key=lambda file: (file.series, file.generation, file.grading)), faults


def _grading_file(folder: Path, place: Path) -> GradingFile:
    graded = _GRADED.fullmatch(place.name)
    if graded is None:
        raise ValueError("the folder's name is not by_GRADER_on_COLUMN_NUMBER_PROMPT; it is left out")
    parts = place.relative_to(folder).parts[:-2]
    # A student may be named ORGANISATION/MODEL, which makes two folders.
    runs = [(number, run) for number, part in enumerate(parts) if (run := _RUN.fullmatch(part))]
    if not runs or runs[-1][0] == len(parts) - 1:
        raise ValueError("no folder above it is named kK_sSEED_vPROMPT_rGENERATION; it is left out")
    number, run = runs[-1]
    series = Series(
        "/".join(parts[number + 1 :]),
        int(run["k"]),
        int(run["seed"]),
        run["version"],
        graded["grader"],
        graded["column"],
        graded["prompt"],
    )
    return GradingFile(series, int(run["generation"]), int(graded["grading"]), place / "records.csv")


def read_table(path: Path) -> tuple[list[dict[str, str | None]], str | None]:
    """The rows of a CSV file as far as they can be read, and why there are not more.

    A cell that a cut row no longer has is None.
    """
    rows: list[dict[str, str | None]] = []
    try:
        # Surplus cells of a row are under None.
        with TextIOWrapper(open_file(path, MOST_FILE), encoding="utf-8-sig", newline="") as file:
            rows.extend({name: row[name] for name in row if name is not None} for row in csv.DictReader(file))
    except UnicodeDecodeError as error:
        return rows, f"it is not UTF-8 text from byte {error.start} on"
    except csv.Error as error:
        return rows, f"it is not CSV after row {len(rows)} ({error})"
    except OSError as error:
        return rows, f"it cannot be read ({error.strerror})"
    return rows, None
