"""The measure of a judge: GPT-4's recorded verdicts, or those of people, from a table that they filled in."""

from __future__ import annotations

import csv
import hashlib
import json
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Literal, TextIO

from grading import UserError
from grading.safety.text import csv_cell, csv_text
from skillmix_tasks.calibration.agreement import compare
from skillmix_tasks.calibration.record import PeopleAgreement
from skillmix_tasks.calibration.reference_answers import RecordedAnswer
from skillmix_tasks.calibration.tree import read_table

_KEY = ("student", "k", "seed", "version", "generation", "item")
_COLUMNS = (*_KEY, "criterion", "person", "earned")
_Verdicts = dict[tuple[int, str], dict[str, bool]]  # each person's decision, by an answer's place and a criterion
_READING = ("question", "task", "answer")  # columns for the person, which are not read back


@dataclass(frozen=True)
class Yardstick:
    """The verdicts that count as right: for each of `answers` the criteria that were decided, by id.

    `split` counts the criteria on which people were divided in halves; they are not in `truth`.
    """

    name: Literal["GPT-4", "people"]
    answers: tuple[RecordedAnswer, ...]
    truth: tuple[dict[str, bool], ...]
    split: int = 0
    people: tuple[PeopleAgreement, ...] = ()

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with any answer, criterion or verdict."""
        content = [
            (answer.request.context, answer.request.answer, [c.text for c in answer.request.criteria], truth)
            for answer, truth in zip(self.answers, self.truth, strict=True)
        ]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]


def recorded(answers: Sequence[RecordedAnswer]) -> Yardstick:
    """GPT-4's verdicts, as the reference recorded them."""
    return Yardstick("GPT-4", tuple(answers), tuple(answer.earned for answer in answers))


def labelled(answers: Sequence[RecordedAnswer], path: Path) -> Yardstick:
    """The majority of the people in the table `path`, which `write_sheet` began.

    Raises UserError if it holds no verdicts or some that cannot be used.
    """
    verdicts = _read_verdicts(answers, path)
    truth: dict[int, dict[str, bool]] = defaultdict(dict)
    split = 0
    for (place, criterion), of in sorted(verdicts.items()):
        granted = sum(of.values())
        if 2 * granted == len(of):
            split += 1
        else:
            truth[place][criterion] = 2 * granted > len(of)
    if not truth:
        raise UserError(f"The labels {path} decide nothing: the people are divided on all {split} criteria.")
    labelled_answers = tuple(answers[place] for place in truth)
    return Yardstick("people", labelled_answers, tuple(truth.values()), split, _among_people(verdicts))


def _read_verdicts(answers: Sequence[RecordedAnswer], path: Path) -> _Verdicts:
    """The verdicts in a table of labels; empty rows are skipped."""
    known = {_key(answer): place for place, answer in enumerate(answers)}
    verdicts: _Verdicts = defaultdict(dict)
    rows, broken = read_table(path)
    if broken:
        raise UserError(f"The labels {path} cannot be used: {broken}.")
    if missing := [column for column in _COLUMNS if rows and column not in rows[0]]:
        raise UserError(
            f"The labels {path} lack the column {', '.join(missing)}: `skillmix reference sheet DIR -o FILE` "
            "writes the table to fill in."
        )
    for number, row in enumerate(rows, start=2):  # as a spreadsheet counts, whose first row is the head
        cells = {column: csv_text((row[column] or "").strip()) for column in _COLUMNS}
        earned, person, criterion = cells["earned"], cells["person"], cells["criterion"]
        if not earned:
            continue
        place = known.get(tuple(cells[column] for column in _KEY))
        if place is None or criterion not in answers[place].earned:
            raise UserError(f"{path}, row {number}: no answer of the reference has this key and criterion.")
        if earned not in ("0", "1") or not person:
            raise UserError(f"{path}, row {number}: it needs a person, and under earned 0 or 1, not {earned!r}.")
        if person in verdicts[place, criterion]:
            raise UserError(f"{path}, row {number}: {person} has decided this criterion before.")
        verdicts[place, criterion][person] = earned == "1"
    if not verdicts:
        raise UserError(f"The labels {path} hold no verdict: write 0 or 1 under earned, and a name under person.")
    return verdicts


def write_sheet(answers: Sequence[RecordedAnswer], file: TextIO) -> None:
    """Write a table for one person to fill in: a line for each criterion, the texts beside an answer's first."""
    writer = csv.writer(file)
    writer.writerow((*_COLUMNS, *_READING))
    for answer in answers:
        texts = (answer.request.context, answer.request.answer)
        for criterion in answer.request.criteria:
            cells = (*_key(answer), criterion.id, "", "", criterion.text, *texts)
            writer.writerow([csv_cell(cell) for cell in cells])
            texts = ("", "")


def _key(answer: RecordedAnswer) -> tuple[str, ...]:
    one = answer.series
    return (one.student, str(one.k), str(one.seed), one.version, str(answer.generation), str(answer.index + 1))


def _among_people(verdicts: _Verdicts) -> tuple[PeopleAgreement, ...]:
    persons = sorted({person for of in verdicts.values() for person in of})
    found = []
    for one, other in combinations(persons, 2):
        pairs: dict[int, list[tuple[bool, bool]]] = defaultdict(list)
        for (place, _), of in verdicts.items():
            if one in of and other in of:
                pairs[place].append((of[one], of[other]))
        if pairs:
            found.append(PeopleAgreement(persons=(one, other), agreement=compare(list(pairs.values()))))
    return tuple(found)
