"""A table of the experiment, and how it is written: Markdown, one line for each score as CSV, and a picture."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from matplotlib.figure import Figure
from matplotlib.transforms import Bbox
from pydantic import TypeAdapter, ValidationError

from grading import UserError
from grading.errors import first_fault
from grading.safety.atomic import atomic_file, write_atomic
from grading.safety.bounds import read_bytes
from grading.safety.templates import own_template
from grading.safety.text import plain, write_csv

DASH = "-"  # what is not known
_LINE, _CHARACTER = 0.26, 0.085  # inches of height and width


@dataclass(frozen=True)
class Section:
    """A part of a table for a reader; its first `names` columns are names that a user chose."""

    title: str
    header: list[str]
    rows: list[list[str]]
    names: int = 0

    def markdown(self) -> list[list[str]]:
        """The rows for a page of Markdown."""
        return [[*map(plain, row[: self.names]), *row[self.names :]] for row in self.rows]


@dataclass(frozen=True)
class Table:
    """A table: sentences above it, its sections, and a record for each score."""

    name: str
    title: str
    notes: list[str]
    sections: list[Section]
    records: list[dict[str, Any]]

    @property
    def stem(self) -> str:
        """Its name in file names."""
        return self.name.lower().replace(" ", "-")


@dataclass(frozen=True)
class Written:
    """All tables of an experiment, as tables.json has them."""

    conclusive: bool
    tables: list[Table]


_WRITTEN = TypeAdapter(Written)


def write_all(written: Written, out: Path) -> Path:
    """Write tables.json; its path."""
    path = out / "tables.json"
    write_atomic(path, _WRITTEN.dump_json(written, indent=1) + b"\n")
    return path


def read_tables(folder: Path) -> Written:
    """The tables that `skillmix tables` wrote to `folder`; UserError if it holds no tables."""
    try:
        return _WRITTEN.validate_json(read_bytes(folder / "tables.json"))
    except (OSError, ValidationError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else error.strerror
        raise UserError(
            f"{folder} holds no tables of an experiment ({reason}): name the folder that `skillmix tables` wrote."
        ) from error


def write_table(table: Table, out: Path) -> list[Path]:
    """Write a table as .md, .csv and .png; the paths."""
    image = out / f"{table.stem}.png"
    with atomic_file(image) as draft:
        first = table.sections[0]
        part = f", {first.title.lower()}" if first.title else ""
        _draw(draft, f"{table.name}. {table.title}{part}", first.header, first.rows)
    return [*write_text(table, out), image]


def write_text(table: Table, out: Path, pictures: Sequence[Path] = ()) -> list[Path]:
    """Write a table as .md, which shows `pictures`, and .csv; the paths."""
    template = own_template("training", "templates", "table.md.jinja")
    text = template.render(table=table, pictures=[path.name for path in pictures])
    markdown, lines = out / f"{table.stem}.md", out / f"{table.stem}.csv"
    write_atomic(markdown, text.rstrip() + "\n")
    with atomic_file(lines) as draft:
        write_csv(draft, list(table.records[0]) if table.records else [], table.records)
    return [markdown, lines]


def _draw(path: Path, title: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Write a PNG of a table."""
    shown = [[cell.replace("$", r"\$") for cell in row] for row in rows]  # a dollar would begin a formula
    widths = [max(len(text) for text in column) + 2 for column in zip(header, *shown, strict=True)]
    height = _LINE * (len(rows) + 3)
    figure = Figure(figsize=(max(4.0, _CHARACTER * sum(widths)), height))
    axes = figure.add_axes((0, 0, 1, 1 - 1.3 * _LINE / height))
    axes.set_axis_off()
    drawn = axes.table(
        cellText=shown or [["" for _ in header]],
        colLabels=list(header),
        colWidths=[width / sum(widths) for width in widths],
        cellLoc="left",
        bbox=Bbox.from_bounds(0.01, 0.02, 0.98, 0.96),
        edges="horizontal",
    )
    drawn.auto_set_font_size(False)
    drawn.set_fontsize(9)
    figure.suptitle(title.replace("$", r"\$"), fontsize=10, x=0.01, ha="left", y=1 - 0.3 * _LINE / height)
    # Without "Software", which would name the release of matplotlib.
    figure.savefig(path, format="png", dpi=130, metadata={"Software": None})
