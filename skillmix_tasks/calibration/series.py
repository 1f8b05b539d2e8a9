"""All gradings of a checkout, by student and item; what is missing is named."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

from grading.commands.words import many
from skillmix_tasks.calibration.rows import GradedRow, ItemKey, read_rows
from skillmix_tasks.calibration.tree import Fault, GradingFile, Series, find_gradings

ROUNDS = 3  # generations, and gradings of each, in a complete run


@dataclass(frozen=True)
class GradedSeries:
    """All usable gradings of a series: `rows[generation][item]` are an answer's gradings.

    `answers` are the student's own files, by generation.
    """

    series: Series
    rows: dict[int, dict[ItemKey, list[GradedRow]]]
    answers: dict[int, Path]

    def complete(self) -> list[ItemKey]:
        """The items that every generation has, in the order of the first."""
        first, *others = self.rows.values()
        return [key for key in first if all(key in other for other in others)]

    def copied(self) -> bool:
        """Whether every answer has several gradings and they are one and the same reply."""
        answers = [rows for of in self.rows.values() for rows in of.values()]
        return all(len(rows) > 1 and len({row.reply for row in rows}) == 1 for rows in answers)


def read_series(folder: Path) -> tuple[list[GradedSeries], list[Fault]]:
    """All gradings under `folder`, and what is wrong with their files.

    Raises UserError if there is none.
    """
    files, faults = find_gradings(folder)
    found = []
    for series, group in groupby(files, key=lambda file: file.series):
        these = list(group)
        rows: dict[int, dict[ItemKey, list[GradedRow]]] = defaultdict(lambda: defaultdict(list))
        for file in these:
            usable, wrong = read_rows(folder, file)
            faults += wrong
            for row in usable:
                rows[file.generation][row.key].append(row)
        faults += _missing_rounds(folder, these)
        if not rows:
            faults.append(series.fault("no row of its gradings can be used; there is no score", "missing score"))
            continue
        answers = {file.generation: file.path.parents[2] / "records.csv" for file in these}
        one = GradedSeries(series, {generation: dict(of) for generation, of in sorted(rows.items())}, answers)
        found.append(one)
        faults += _missing_items(one)
        if one.copied():
            what = "all gradings of each answer are one and the same reply, so their majority is one grading"
            faults.append(series.fault(what, "copied grading"))
    return found, faults


def majority(rows: Sequence[GradedRow]) -> dict[str, bool]:
    """The majority of an answer's gradings on each point; a tie is not earned."""
    return {point: 2 * sum(row.points[point] for row in rows) > len(rows) for point in rows[0].points}


def _missing_rounds(folder: Path, files: Sequence[GradingFile]) -> list[Fault]:
    there = {(file.generation, file.grading) for file in files}
    generations = range(1, max(ROUNDS, *(generation for generation, _ in there)) + 1)
    gradings = range(1, max(ROUNDS, *(grading for _, grading in there)) + 1)
    places = {file.generation: str(file.path.parents[1].relative_to(folder)) for file in files}
    series, faults = files[0].series, []
    for generation in generations:
        if generation not in places:
            what = f"generation {generation} is missing; the maximum is over the others"
            faults.append(series.fault(what, "missing generation"))
            continue
        for grading in gradings:
            if (generation, grading) not in there:
                what = f"grading {grading} is missing; the majority is over the others"
                faults.append(series.fault(what, "missing grading", file=places[generation]))
    return faults


def _missing_items(one: GradedSeries) -> list[Fault]:
    everything = {key for of in one.rows.values() for key in of}
    return [
        one.series.fault(
            f"generation {generation} has {len(of)} of {many(len(everything), 'item')}; "
            "the others are in no score",
            "incomplete generation",
        )
        for generation, of in one.rows.items()
        if len(of) < len(everything)
    ]
