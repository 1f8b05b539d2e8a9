"""The pictures of a report: one for each group of students, and one for each of up to eight students."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from hub_cards.report.page.words import SPLIT_NAMES
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.board import SPLITS, Row
from hub_cards.report.study.study import Study
from skillmix_tasks.scoring.metrics import METRIC_NAMES
from training.plots import MOST, Line, Panel, draw_figure


def draw_pictures(study: Study, folder: Path) -> list[Path]:
    """Draw the pictures of the groups and of the students to files in `folder`; their paths.

    Many students have no pictures of their own: each takes a quarter of a second, and the page has them all.
    A picture without any score is not written.
    """
    folder.mkdir(exist_ok=True)
    groups: defaultdict[str, list[Row]] = defaultdict(list)
    for row in study.measured:
        groups[row.group].append(row)
    files: list[Path] = []
    for number, rows in enumerate(groups.values(), start=1):
        shown = sorted(rows, key=lambda row: row.level, reverse=True)[:MOST]
        styles = {row.id: style for style, row in enumerate(shown)}
        panels = [
            Panel(
                SPLIT_NAMES[split],
                [
                    Line(row.student, styles[row.id], cells)
                    for row in shown
                    if (cells := row.by_k("full_marks", split))
                ],
                _bound(study.corpus, rows, split),
            )
            for split in SPLITS
            if any(row.by_k("full_marks", split) for row in shown)
        ]
        title = f"Full marks, judged by {rows[0].judge}"
        if len(rows) > MOST:
            title += f" (the {MOST} highest of {len(rows)} students)"
        if panels:
            files += draw_figure(panels, title, folder / f"group-{number}")
    students = study.measured if len(study.measured) <= MOST else []
    for number, row in enumerate(students, start=1):
        panels = _student_panels(row, study.corpus)
        if panels:
            files += draw_figure(panels, f"{row.student}, judged by {row.judge}", folder / f"student-{number}")
    return files


def _student_panels(row: Row, corpus: Corpus) -> list[Panel]:
    panels = []
    for metric, name in METRIC_NAMES.items():
        lines = [
            Line(SPLIT_NAMES[split], style, cells)
            for style, split in enumerate(SPLITS)
            if (cells := row.by_k(metric, split))
        ]
        bound = _bound(corpus, [row], "all") if metric == "full_marks" else {}
        if lines:
            panels.append(Panel(name, lines, bound))
    return panels


def _bound(corpus: Corpus, rows: Sequence[Row], split: str) -> dict[int, float]:
    """Its constants are means over all skills and topics, so it says nothing of the other splits."""
    if split != "all":
        return {}
    return {k: corpus.bound(k) for k in sorted({k for row in rows for k in row.by_k("full_marks", split)})}
