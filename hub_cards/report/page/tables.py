"""The report's tables as files: Markdown to paste, CSV and JSON to work with."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

from grading.safety.text import plain, write_csv
from hub_cards.report.page.words import SPLIT_NAMES, cell_text, limits, number, summary
from hub_cards.report.study.board import SPLITS, Row
from hub_cards.report.study.study import Study
from skillmix_tasks.scoring.metrics import METRIC_NAMES

_SCORE = (
    *("student", "judge", "protocol", "pack", "source", "metric", "split", "k", "value", "low", "high"),
    *("items", "asked", "coverage", "bound_low", "bound_high", "controls", "calibration"),
)
_COMPARISON = (
    *("first", "second", "judge", "metric", "split", "k", "items", "first_value", "second_value"),
    *("difference", "low", "high", "better", "worse", "p", "p_holm"),
)


def write_tables(study: Study, folder: Path) -> list[Path]:
    """Write leaderboard and comparisons to `folder`, each as .md, .csv and .json; the paths."""
    about = {"measured": summary(study), "not_concluded": limits(study), "notes": study.notes}
    tables = {
        "leaderboard": (_leaderboard_text(study), _SCORE, list(leaderboard_records(study.rows))),
        "comparisons": (_comparisons_text(study), _COMPARISON, list(comparison_records(study))),
    }
    written = []
    for name, (text, fields, records) in tables.items():
        markdown, table, data = (folder / f"{name}.{ending}" for ending in ("md", "csv", "json"))
        markdown.write_text(text, encoding="utf-8")
        write_csv(table, fields, records)
        data.write_text(json.dumps(about | {"rows": records}, indent=1, ensure_ascii=False), encoding="utf-8")
        written += [markdown, table, data]
    return written


def leaderboard_records(rows: Sequence[Row]) -> Iterator[dict[str, Any]]:
    """One record for each score."""
    for row in rows:
        for (metric, split, k), cell in sorted(row.cells.items()):
            yield {
                "student": row.student,
                "judge": row.judge,
                "protocol": row.protocol,
                "pack": row.pack,
                "source": row.source,
                "metric": metric,
                "split": split,
                "k": k,
                "value": cell.value,
                "low": cell.interval.low if cell.interval else None,
                "high": cell.interval.high if cell.interval else None,
                "items": cell.items,
                "asked": cell.asked,
                "coverage": cell.coverage,
                "bound_low": cell.low,
                "bound_high": cell.high,
                "controls": row.controls or None,
                "calibration": row.calibration or None,
            }


def comparison_records(study: Study) -> Iterator[dict[str, Any]]:
    """One record for each paired comparison."""
    rows = {row.id: row for row in study.rows}
    for pair in study.pairs:
        result = pair.result
        yield {
            "first": rows[pair.first].student,
            "second": rows[pair.second].student,
            "judge": rows[pair.first].judge,
            "metric": pair.metric,
            "split": pair.split,
            "k": pair.k,
            "items": result.items,
            "first_value": result.first,
            "second_value": result.second,
            "difference": result.difference,
            "low": result.interval.low if result.interval else None,
            "high": result.interval.high if result.interval else None,
            "better": result.better,
            "worse": result.worse,
            "p": result.p,
            "p_holm": pair.adjusted,
        }


def _leaderboard_text(study: Study) -> str:
    lines = ["# SKILL-MIX leaderboard", "", *_paragraphs(study)]
    # Rows that may not be ranked together never share a table.
    for _, members in groupby(
        sorted(study.rows, key=lambda row: (not row.runs, row.group)), lambda row: row.group
    ):
        rows = list(members)
        lines += [f"## {plain(rows[0].judge)}", "", f"{plain(rows[0].protocol)}; pack: {plain(rows[0].pack)}.", ""]
        if controls := rows[0].controls:
            lines += [f"{controls.capitalize()}.", ""]
        if calibration := rows[0].calibration:
            lines += [plain(calibration), ""]
        if not rows[0].runs:
            lines += [f"{plain(source)}." for source in dict.fromkeys(row.source for row in rows)] + [""]
        for metric, name in METRIC_NAMES.items():
            for split in SPLITS:
                lines += _table(rows, metric, split, f"### {name.capitalize()}, {SPLIT_NAMES[split]}")
    return "\n".join(lines)


def _table(rows: Sequence[Row], metric: str, split: str, title: str) -> list[str]:
    ks = sorted({k for row in rows for k in row.by_k(metric, split)})
    if not ks:
        return []
    lines = [title, "", f"| student | {' | '.join(f'k={k}' for k in ks)} |", f"|---|{'---|' * len(ks)}"]
    for row in rows:
        cells = [row.by_k(metric, split).get(k) for k in ks]
        if any(cells):
            lines.append(f"| {plain(row.student)} | {' | '.join(cell_text(cell) for cell in cells)} |")
    return [*lines, ""]


def _comparisons_text(study: Study) -> str:
    lines = ["# Paired comparisons", "", *_paragraphs(study)]
    records = list(comparison_records(study))
    if records:
        lines += [
            "Differences are second minus first, with 95 % intervals; `p` is that of McNemar's exact test (of a "
            "permutation test for the skill fraction), `p (Holm)` is adjusted for all comparisons of a metric "
            "under one judge.",
            "",
            "| first | second | judge | metric | split | k | n | difference | better / worse | p | p (Holm) |",
            "|---|---|---|---|---|---|---|---|---|---|---|",
        ]
    else:
        lines.append("No two students were judged alike on the same items.")
    for one in records:
        interval = (
            f" [{one['low']:+.2f}, {one['high']:+.2f}]"
            if one["low"] is not None
            else " (no interval: all items differ alike)"
        )
        lines.append(
            f"| {plain(one['first'])} | {plain(one['second'])} | {plain(one['judge'])} | "
            f"{METRIC_NAMES[one['metric']]} | {one['split']} | {one['k']} | {one['items']} | "
            f"{one['difference']:+.2f}{interval} | {one['better']} / {one['worse']} | {one['p']:.3g} | "
            f"{one['p_holm']:.3g} |"
        )
    for judges in study.agreements:
        lines += [
            "",
            f"## {plain(judges.first)} and {plain(judges.second)} on {judges.answers} answers of "
            f"{plain(judges.student)}",
            "",
            "| points | n | share alike | kappa |",
            "|---|---|---|---|",
        ]
        for kind, found in judges.kinds.items():
            lines.append(f"| {kind} | {found.decisions} | {found.agreement.text()} | {found.kappa.text()} |")
    for training in study.trainings:
        lines += ["", f"## From {plain(training.before.student)} to {plain(training.after.student)}", ""]
        lines += [
            "| split | k | before | after | change | p (Holm) | published |",
            "|---|---|---|---|---|---|---|",
        ]
        for change in training.changes:
            interval = f" [{change.interval.low:+.2f}, {change.interval.high:+.2f}]" if change.interval else ""
            lines.append(
                f"| {change.split} | {change.k} | {number(change.before)} | {number(change.after)} | "
                f"{change.after - change.before:+.2f}{interval} | {change.adjusted:.3g} | "
                f"{plain('; '.join(change.published)) or '-'} |"
            )
    return "\n".join(lines) + "\n"


def _paragraphs(study: Study) -> list[str]:
    return [line for sentence in (*summary(study), *limits(study), *study.notes) for line in (plain(sentence), "")]
