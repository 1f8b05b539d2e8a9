"""The content of a report, before it is written in any form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial

from grading import UserError
from grading.commands.words import listed, many
from hub_cards.report.results.answers import Answers
from hub_cards.report.results.parties import Party
from hub_cards.report.results.runs import Run, read_results
from hub_cards.report.results.tally import read_tally
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.board import Measured, Row, measured_rows, published_rows
from hub_cards.report.study.change import Training, trainings
from hub_cards.report.study.compare import Pair, compare_all
from hub_cards.report.study.judges import Judges, judges_compared
from hub_cards.report.study.student_report import StudentReport, make_student_report
from skillmix_tasks.calibration.record import Calibration
from skillmix_tasks.stored.facts import student_name
from skillmix_tasks.stored.find_results import Found
from training.published import load_published

Missing = dict[str, list[str]]  # tasks by the name of a student, or of a file


@dataclass(frozen=True)
class Study:
    """`rows` are measured ones and then published ones; `notes` are sentences on omissions and their reasons."""

    entries: list[Measured]
    rows: list[Row]
    student_reports: list[StudentReport]
    pairs: list[Pair]
    trainings: list[Training]
    agreements: list[Judges]
    answers: Answers
    corpus: Corpus
    notes: list[str]

    @property
    def measured(self) -> list[Row]:
        """The rows that were measured here."""
        return [row for row in self.rows if row.runs]


def make_study(
    found: Sequence[Found],
    *,
    corpus: Corpus,
    published: bool = True,
    before: str = "before",
    after: Sequence[str] = ("after",),
    calibrations: Sequence[Calibration] = (),
    others: Sequence[Row] = (),
) -> Study:
    """Read all results and samples and draw the conclusions; `published` adds the papers' rows.

    `calibrations` are shown with the rows of their judges; `others` are more rows that others published.

    UserError for files that cannot be read, and if no task in them was judged.
    """
    entries: list[Measured] = []
    unjudged: Missing = {}
    bare: Missing = {}
    undecided: Missing = {}
    answers = Answers()
    for file in found:
        runs, left_out = read_results(file.path, file.label)
        if left_out:
            unjudged.setdefault(file.path.name, []).extend(left_out)
        for run in runs:
            tally = None
            if run.samples is None:
                bare.setdefault(run.student.name, []).append(run.task)
            else:
                tally = read_tally(run, take=partial(answers.add, len(entries)))
            if not run.covered:
                bounds = f"{run.task}, full marks between {run.low:.2f} and {run.high:.2f}"
                undecided.setdefault(run.student.name, []).append(bounds)
            entries.append(Measured(run, tally))
    if not entries:
        raise UserError("No task in these files is a judged SKILL-MIX task: there is nothing to report.")
    entries = _one_student_for_a_model(entries)
    rows, replaced = measured_rows(entries, calibrations)
    students = list(dict.fromkeys(row.name for row in rows))
    for option, name in (("--before", before), *(("--after", one) for one in after)):
        if name not in (*students, "before", "after"):
            raise UserError(
                f"{option} names the student {name}, and these results are of {listed(students)}: name one of "
                f"them, or give a student this name with {name}=PATH."
            )
    notes = [
        f"{what}: {_listed(missing)}."
        for what, missing in (
            ("Not judged (--predict_only), and left out", unjudged),
            ("Without samples (--log_samples), and so without answers, points and comparisons", bare),
            ("Without a score, because no item has a verdict", undecided),
            ("Left out, because a newer result of the same student and task is there", replaced),
        )
        if missing
    ]
    notes += [
        f"The calibration of {one.name} is of none of these judges, with their parameters, votes and prompt."
        for one in calibrations
        if not any(one.is_of(entry.run.judge_record) for entry in entries)
    ]
    pairs, uncompared = compare_all(_ordered(rows, before, after), entries)
    stated = load_published()
    return Study(
        entries=entries,
        rows=[*rows, *others, *(published_rows(stated) if published else [])],
        student_reports=[make_student_report(row, entries, answers.rows) for row in rows],
        pairs=pairs,
        trainings=trainings(rows, pairs, stated, before, after),
        agreements=judges_compared(rows, entries),
        answers=answers,
        corpus=corpus,
        notes=[*notes, *uncompared],
    )


def _one_student_for_a_model(entries: Sequence[Measured]) -> list[Measured]:
    """The entries, where samples that were graded without results beside them are of the student of their model.

    Such results hold the model's name alone. It stays a student of its own if none or several have the model.
    """

    def model(run: Run) -> str:
        return str(run.record.student.get("peft") or run.record.student["model"]).replace("__", "/")

    bare = [entry.run.record.student.keys() == {"model"} for entry in entries]
    known: dict[str, dict[str, Party]] = {}
    for entry, alone in zip(entries, bare, strict=True):
        if not alone:
            known.setdefault(model(entry.run), {})[entry.run.student.key] = entry.run.student
    found = []
    for entry, alone in zip(entries, bare, strict=True):
        students = list(known.get(model(entry.run), {}).values()) if alone else []
        one = len(students) == 1 and entry.run.student.name == student_name(entry.run.record.student)
        found.append(replace(entry, run=replace(entry.run, student=students[0])) if one else entry)
    return found


def _listed(missing: Missing) -> str:
    """Whose tasks, as "m (skillmix_k2)" and "m (8 tasks)"."""
    return listed(
        f"{name} ({listed(tasks) if len(tasks) <= 3 else many(len(tasks), 'task')})"
        for name, tasks in missing.items()
    )


def _ordered(rows: Sequence[Row], before: str, after: Sequence[str]) -> list[Row]:
    """The rows with `before` ahead of `after`, so that comparisons read from the one to the other."""
    rank = dict.fromkeys(after, 1) | {before: 0}
    return sorted(rows, key=lambda row: rank.get(row.name, 2))
