"""The page: one HTML file that holds everything and loads nothing else."""

from __future__ import annotations

import base64
import hashlib
import json
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

from jinja2 import PackageLoader

from grading import UserError
from grading.safety.bounds import read_bytes
from grading.safety.templates import environment
from hub_cards.report.page.words import (
    SPLIT_NAMES,
    headline,
    limits,
    number,
    power_of_ten,
    signed,
    summary,
    warnings,
)
from hub_cards.report.results.answers import CHUNK, packed_text
from hub_cards.report.results.parties import digest
from hub_cards.report.stats.novelty import ASSUMPTIONS, sensitivity
from hub_cards.report.stats.saturation import LEVEL
from hub_cards.report.study.board import SPLITS, Row
from hub_cards.report.study.study import Study
from skillmix_tasks.scoring.metrics import METRIC_MEANINGS, METRIC_NAMES
from training.experiment.layout import Table, read_tables
from training.power import items_needed

_SCRIPTS = ("page.js", "plot.js", "board.js", "pairs.js", "samples.js")
_RATES, _DIFFERENCES = (0.05, 0.1, 0.3, 0.5), (0.05, 0.1, 0.2, 0.3)
_KS = range(2, 9)
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


def render_page(study: Study, experiment: Experiment | None = None) -> str:
    """The page of a study, with the tables of an experiment if there is one."""
    letters = _letters(study)
    usual = _usual(study)
    script = "\n".join(_text(name) for name in _SCRIPTS)
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    ours = environment(loader=PackageLoader("hub_cards.report.page"), autoescape=True)
    student = ours.get_template("student.html.jinja")
    labels = _labels(study)
    packed = [(f"chunk-{number}", chunk) for number, chunk in enumerate(study.answers.chunks)]
    packed += [
        (
            f"student-{report.row.id}",
            packed_text(
                student.render(
                    report=report, labels=labels, splits=SPLIT_NAMES, number=number, thousands=_thousands
                )
            ),
        )
        for report in study.student_reports
    ]
    return ours.get_template("page.html.jinja").render(
        script=script,
        script_hash=f"sha256-{digest}",
        style=_text("page.css"),
        data=_embedded(_data(study, letters) | {"usual": usual}),
        packed=packed,
        headline=headline(study),
        warnings=warnings(study),
        usual=usual,
        plain=_plain(study, letters, usual["split"]),
        summary=summary(study),
        limits=limits(study),
        bounded=any(row.by_k("full_marks", "all") for row in study.measured),
        protocols=len({row.group for row in study.measured}),
        letters=letters,
        groups={row.group: f"{row.judge}; {row.protocol}; pack {row.pack}" for row in study.rows},
        pairs=len(study.pairs),
        experiment=experiment,
        power_differences=_DIFFERENCES,
        power=[(rate, [items_needed(rate, one) for one in _DIFFERENCES]) for rate in _RATES],
        splits=SPLIT_NAMES,
        metrics=METRIC_NAMES,
        meanings=METRIC_MEANINGS,
        level=LEVEL,
        study=study,
        tokens=power_of_ten(study.corpus.tokens),
        sentences=power_of_ten(study.corpus.tokens / study.corpus.sentence),
        assumptions=ASSUMPTIONS,
        novelty=list(_novelty(study)),
        number=number,
        signed=signed,
        thousands=_thousands,
    )


def _text(name: str) -> str:
    return files("hub_cards.report.page").joinpath("templates", name).read_text(encoding="utf-8")


def _embedded(data: Any) -> str:
    """JSON that cannot end a script element, whatever its strings hold."""
    return json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c")


def _letters(study: Study) -> dict[str, str]:
    """A letter for each group, in the order of the rows; after Z come AA, AB."""
    groups = list(dict.fromkeys(row.group for row in study.rows))
    names = [
        chr(65 + place % 26) if place < 26 else f"{chr(64 + place // 26)}{chr(65 + place % 26)}"
        for place in range(len(groups))
    ]
    return dict(zip(groups, names, strict=True))


def _data(study: Study, letters: dict[str, str]) -> dict[str, Any]:
    row_of = {number: row for row in study.measured for number in row.runs}
    return {
        "rows": [_row(row, letters[row.group]) for row in study.rows],
        "runs": [
            {
                "row": row_of[number].id if number in row_of else None,
                "student": row_of[number].student if number in row_of else entry.run.student.name,
                "judge": entry.run.judge.name,
                "task": entry.run.task,
                "k": record.k,
                "split": record.split,
                "answers": entry.tally is not None,
                # The same for runs of the same items.
                "items": digest([entry.run.task, record.pack.hash, record.seed, record.drop_common]),
            }
            for number, entry in enumerate(study.entries)
            for record in [entry.run.record]
        ],
        "pairs": [
            [
                pair.first,
                pair.second,
                pair.metric,
                pair.split,
                pair.k,
                pair.result.items,
                pair.result.first,
                pair.result.second,
                pair.result.interval.low if pair.result.interval else None,
                pair.result.interval.high if pair.result.interval else None,
                pair.result.better,
                pair.result.worse,
                pair.result.p,
                pair.adjusted,
            ]
            for pair in study.pairs
        ],
        "answers": study.answers.rows,
        "bound": {k: study.corpus.bound(k) for k in sorted({k for row in study.rows for _, _, k in row.cells})},
        "skills": list(study.answers.skills),
        "chunk": CHUNK,
        "metrics": METRIC_NAMES,
        "meanings": METRIC_MEANINGS,
        "splits": SPLIT_NAMES,
    }


def _usual(study: Study) -> dict[str, str]:
    """The first view: before and after if present, and a split that was measured."""
    measured = {split for row in study.measured or study.rows for _, split, _ in row.cells}
    split = next((one for one in SPLITS if one in measured), SPLITS[0])
    if not study.trainings:
        return {"view": "leaderboard", "split": split}
    training = study.trainings[0]
    return {"view": "comparisons", "split": split, "first": training.before.id, "second": training.after.id}


def _plain(study: Study, letters: dict[str, str], split: str) -> dict[str, Any]:
    """The leaderboard of full marks for a reader without JavaScript."""
    ks = sorted({k for row in study.rows for k in row.by_k("full_marks", split)})
    groups: dict[str, list[Row]] = {}
    for row in study.rows:
        if row.by_k("full_marks", split):
            groups.setdefault(row.group, []).append(row)
    return {
        "ks": ks,
        "groups": [
            (
                f"{letters[group]} · {rows[0].judge}{'' if rows[0].runs else ' · published'}; {rows[0].protocol}",
                [
                    (row.student, [row.by_k("full_marks", split).get(k) for k in ks])
                    for row in sorted(rows, key=lambda row: row.level, reverse=True)
                ],
            )
            for group, rows in groups.items()
        ],
    }


def _row(row: Row, letter: str) -> dict[str, Any]:
    cells: dict[str, dict[str, dict[int, list[float | None]]]] = {}
    for (metric, split, k), cell in sorted(row.cells.items()):
        low, high = (cell.interval.low, cell.interval.high) if cell.interval else (None, None)
        shown = [cell.value, low, high, cell.items, cell.asked, cell.coverage, cell.low, cell.high]
        cells.setdefault(metric, {}).setdefault(split, {})[k] = shown
    known = {name: value for name, value in vars(row).items() if name not in ("name", "group", "runs")}
    return known | {"letter": letter, "cells": cells}


def _labels(study: Study) -> dict[int, str]:
    shown = {one for report in study.student_reports for numbers in report.examples.values() for one in numbers}
    answers, runs = study.answers.rows, [entry.run for entry in study.entries]
    return {
        one: f"{runs[answers[one].run].task} {answers[one].topic or answers[one].item}" for one in sorted(shown)
    }


def _novelty(study: Study) -> Any:
    for k in _KS:
        moved = sensitivity(study.corpus, k)
        both = [" / ".join(power_of_ten(value) for value in moved[name]) for name in ("skill", "topic")]
        yield k, power_of_ten(study.corpus.bound(k)), *both


def _thousands(value: float | None) -> str:
    return "not known" if value is None else f"{value:,.0f}"
