"""The sentences of a report: the measurement, the judge, and the limits of conclusions."""

from __future__ import annotations

import time
from collections.abc import Sequence

from grading.commands.words import listed, many
from hub_cards.report.study.board import NOT_STATED, SPLITS, Cell
from hub_cards.report.study.study import Study

SPLIT_NAMES = {
    "all": "all skills and topics",
    "train": "train skills and topics",
    "heldout": "held-out skills and topics",
    "public": "the ten published skills and topics",
    NOT_STATED: "split not stated",
}


def headline(study: Study) -> str:
    """One line: students, k, judge and when."""
    runs = [study.entries[number].run for row in study.measured for number in row.runs]
    last = time.gmtime(max(run.date for run in runs))
    parts = [
        many(len(_distinct([row.student for row in study.measured])), "student"),
        f"k = {_range(sorted({run.record.k for run in runs}))}",
        f"pack {listed(run.record.pack.id for run in runs)}",
        f"judged by {listed(row.judge for row in study.measured)}",
        f"{last.tm_mday} {time.strftime('%B %Y', last)}",
    ]
    return " · ".join(parts)


def warnings(study: Study) -> list[str]:
    """Warnings for a reader before any number; the page shows them as marks."""
    return [
        f"{judge} is wrong about control answers with known correct verdicts: do not trust its scores."
        for judge in _distinct([row.judge for row in study.measured if row.controls_failed])
    ]


def summary(study: Study) -> list[str]:
    """The first sentences of the tables, and of the page's small print."""
    rows, runs = study.measured, [study.entries[number].run for row in study.measured for number in row.runs]
    students, judges = _distinct([f"“{row.student}”" for row in rows]), _distinct([row.judge for row in rows])
    # An answer that two judges have judged is one answer.
    answered: dict[tuple[str, str], int] = {}
    for run in runs:
        of_task = (run.student.name, run.task)
        answered[of_task] = max(run.items, answered.get(of_task, 0))
    packs = _distinct([run.record.pack.id for run in runs])
    splits = [SPLIT_NAMES[split] for split in SPLITS if split in {run.record.split for run in runs}]
    sentences = [
        f"Measured: {listed(students)}, with k = {_range(sorted({run.record.k for run in runs}))} skills of the "
        f"{'pack' if len(packs) == 1 else 'packs'} {listed(packs)}, on {listed(splits)}. "
        f"{many(sum(answered.values()), 'item')} answered, counted for each student and task; of an item's "
        "generations the best counts.",
        f"{'Judge' if len(judges) == 1 else 'Judges'}: {listed(judges)}. " + _trust(study),
    ]
    published = [row for row in study.rows if not row.runs]
    if published:
        sentences.append(
            f"{many(len(published), 'published row')} are shown, too. GPT-4 judged them, and is no longer served; "
            "their skills and topics are the papers' own."
        )
    return sentences


def limits(study: Study) -> list[str]:
    """The limits of conclusions."""
    several = len({row.group for row in study.rows}) > 1
    found = [
        *warnings(study),
        "Scores of different judges, protocols or packs cannot be compared: a difference between such rows may "
        "come from the judge alone."
        if several
        else "All rows share one judge; another judge may give other scores and another order.",
        "The intervals say how much scores would vary with other items of the same pack. They do not say how "
        "often the judge is wrong.",
    ]
    if any(
        cell.coverage is not None and cell.coverage < 1 for row in study.measured for cell in row.cells.values()
    ):
        found.append(
            "Some items have no verdict. There the score is that of the other items, and the bounds say how far "
            "the missing verdicts could move it."
        )
    if len(study.measured) > 1:
        found.append(
            "A rank alone is not a finding: see the paired comparisons, whose p-values are adjusted for their "
            "number."
        )
    return found


def number(value: float) -> str:
    """A share with two digits, as the papers write it."""
    return f"{value:.2f}"


def power_of_ten(value: float) -> str:
    """A very large or small number, as 1.2e12."""
    return f"{value:.2g}".replace("e+", "e").replace("e-0", "e-")


def signed(value: float) -> str:
    """A difference with two digits and its sign."""
    return f"{value:+.2f}".replace("-", "\u2212")


def cell_text(cell: Cell | None) -> str:
    """A score with its interval and n, and with bounds where items lack a verdict."""
    if cell is None:
        return ""
    text = number(cell.value)
    if cell.interval is not None:
        text += f" [{number(cell.interval.low)}, {number(cell.interval.high)}]"
    if cell.items is not None:
        text += f" n={cell.items}"
    if cell.low is not None and cell.high is not None:
        text += f" of {cell.asked}, bounds {number(cell.low)} to {number(cell.high)}"
    return text


def _trust(study: Study) -> str:
    passed = {row.judge: row.controls for row in study.measured if row.controls}
    calibrated = _distinct([row.calibration for row in study.measured if row.calibration])
    if not passed and not calibrated:
        return "The judge's quality is unknown: no control answers, no calibration."
    controls = "; ".join(f"{text} by {judge}" for judge, text in passed.items())
    return " ".join([*([f"{controls}."] if passed else []), *calibrated])


def _distinct(names: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(names))


def _range(ks: Sequence[int]) -> str:
    consecutive = len(ks) > 2 and list(ks) == list(range(ks[0], ks[-1] + 1))
    return f"{ks[0]} to {ks[-1]}" if consecutive else listed(map(str, ks))
