"""The distance of a judge from GPT-4's recorded verdicts, or from people: as results record it, and as a card."""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ValidationError

from grading import UserError
from grading.commands.words import many
from grading.protocol.prompt import PROMPT_VERSION
from grading.safety.bounds import read_bytes
from grading.safety.templates import own_template
from skillmix_tasks.calibration.agreement import Agreement, Estimate
from skillmix_tasks.calibration.correction import ErrorRates
from skillmix_tasks.stored.record import judge_identity

KINDS = ("all", "skills", "topic", "sense")
CORRECTABLE = ("full_marks", "all_skills")  # an item has them or not; skill fraction is not a yes or no
LEAST_KAPPA = 0.6  # "substantial" from here on: Landis and Koch 1977, Biometrics 33:159
LEAST_AGREEMENT = 0.8  # that an interchangeable judge surely reaches
MOST_SURPLUS = 0.1  # by which an interchangeable judge surely grants at most more, or less
MOST_UNDECIDED = 0.1  # as many points may lack a verdict

VerdictName = Literal["interchangeable", "stricter", "more lenient", "not usable", "not settled"]


class MetricShift(BaseModel, extra="forbid", frozen=True):
    """A metric by the yardstick's verdicts, by the judge's, and the second less the first."""

    yardstick: float
    judge: float
    shift: Estimate


class Shift(BaseModel, extra="forbid", frozen=True):
    """The metrics of one student at one k, over `items` that both have decided."""

    student: str
    k: int
    seed: int
    items: int
    metrics: dict[str, MetricShift]


class PeopleAgreement(BaseModel, extra="forbid", frozen=True):
    """Two people on the decisions that both have made."""

    persons: tuple[str, str]
    agreement: Agreement


class Calibration(BaseModel, extra="forbid", frozen=True):
    """A judge, or a panel, measured against a yardstick on the same answers.

    `judge` is its record in results, without an address. `yardstick` is the measure: GPT-4, or people, of
    whom `people` are compared with each other. `data` is a hash of the answers and the yardstick's verdicts.
    `undecided` counts the decisions without a verdict of the judge, by the reason; `split` those on which the
    people were divided, which are left out. `by_kind` has all, skills, topic, sense. `repeat` is how often two
    votes of the judge on one point are equal. `errors` are its errors about complete items, by metric. Of a panel,
    `members` are its judges one by one.
    """

    judge: dict[str, Any]
    name: str
    yardstick: Literal["GPT-4", "people"]
    data: str
    date: datetime.date
    answers: int
    undecided: dict[str, int]
    split: int
    by_kind: dict[str, Agreement]
    repeat: Estimate
    shifts: tuple[Shift, ...]
    errors: dict[str, ErrorRates]
    people: tuple[PeopleAgreement, ...]
    verdict: VerdictName
    sentence: str
    members: tuple[Calibration, ...] = ()

    def line(self) -> str:
        """The line of a card beside a score of this judge."""
        found = self.by_kind["all"]
        return (
            f"Judge {self.name}, calibrated against {self.yardstick} on {many(self.answers, 'answer')} "
            f"({self.date}): kappa {found.kappa.text()}, agreement {found.agreement.text()}; {self.verdict}."
        )

    def is_of(self, judge: dict[str, Any]) -> bool:
        """Whether `judge`, as results record it, is the judge of this calibration, prompt and votes included."""
        return judge_identity(self.judge) == judge_identity(judge)


def calibration_file(path: Path) -> Path:
    """The calibration.json that `path` is, or that the folder `path` holds."""
    return path / "calibration.json" if path.is_dir() else path


def load_calibration(path: Path | str) -> Calibration:
    """Read a calibration.json, or the one in a folder; UserError if it is missing or invalid."""
    path = calibration_file(Path(path))
    try:
        return Calibration.model_validate_json(read_bytes(path))
    except OSError as error:
        raise UserError(
            f"The calibration {path} cannot be read ({error.strerror}): name the folder that "
            "`skillmix calibrate --out` wrote."
        ) from error
    except ValidationError as error:
        raise UserError(
            f"{path} is not a calibration: `skillmix calibrate --reference DIR --judge MODEL --out FOLDER` writes "
            "one to FOLDER/calibration.json."
        ) from error


def conclude(name: str, yardstick: str, found: Agreement, undecided: dict[str, int]) -> tuple[VerdictName, str]:
    """The verdict on a judge by the thresholds above, and the sentence that says it."""
    lost = sum(undecided.values())
    asked = found.decisions + lost
    figures = (
        f"on {many(found.answers, 'answer')} it agrees with {yardstick} on {found.agreement.text()} of "
        f"{many(found.decisions, 'decision')}, kappa {found.kappa.text()}"
    )
    if unasked := undecided.get("over_budget", 0) + undecided.get("api_failed", 0):
        return "not settled", (
            f"{name} is not settled: {unasked} of {many(asked, 'decision')} were not requested or got no reply; "
            f"the same command resumes. So far, {figures}."
        )
    if lost > MOST_UNDECIDED * asked:
        return (
            "not usable",
            f"{name} is not usable: it gave no verdict on {lost} of {many(asked, 'decision')}; {figures}.",
        )
    surplus, agreement, kappa = found.surplus, found.agreement, found.kappa
    one_kind = not found.both + found.reference_only or not found.judge_only + found.neither  # of the yardstick
    few = one_kind or kappa.value is None or kappa.state == "few"
    if few or kappa.value is None or surplus.low is None or surplus.high is None or agreement.low is None:
        return "not settled", f"{name} is not settled: there are too few decisions of both kinds; {figures}."
    if kappa.value < LEAST_KAPPA:
        return "not usable", f"{name} is not usable: kappa is below {LEAST_KAPPA}; {figures}."
    grants = f"it grants {surplus.text()} more of all points than {yardstick}"
    if surplus.high < 0:
        return "stricter", f"{name} is stricter than {yardstick}: {grants}; {figures}."
    if surplus.low > 0:
        return "more lenient", f"{name} is more lenient than {yardstick}: {grants}; {figures}."
    if agreement.low < LEAST_AGREEMENT or max(-surplus.low, surplus.high) > MOST_SURPLUS:
        return "not settled", f"{name} is not settled: these answers are too few; {grants}; {figures}."
    return "interchangeable", f"{name} is interchangeable with {yardstick} for such answers: {figures}."


def card(one: Calibration) -> str:
    """All figures of a calibration, with the thresholds of its verdict."""
    template = own_template(
        "skillmix_tasks.calibration", "calibration.md.jinja", lstrip_blocks=True, keep_trailing_newline=True
    )
    return template.render(
        one=one,
        prompt=PROMPT_VERSION,
        refusals={metric: rates.refusal() for metric, rates in one.errors.items()},
        least_kappa=LEAST_KAPPA,
        least_agreement=LEAST_AGREEMENT,
        most_surplus=MOST_SURPLUS,
        most_undecided=MOST_UNDECIDED,
    )
