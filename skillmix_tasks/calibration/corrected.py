"""Scores of lm-eval's results, corrected for the judge's errors by its calibration; the raw score stays beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading import UserError
from skillmix_tasks.calibration.correction import Corrected, correct
from skillmix_tasks.calibration.record import CORRECTABLE, Calibration
from skillmix_tasks.stored.facts import judge_name
from skillmix_tasks.stored.record import no_results, read_records


class OtherJudgeError(UserError):
    """The results are by another judge than the calibration's."""


@dataclass(frozen=True)
class CorrectedScore:
    """One metric of one task; its units are the items with a verdict."""

    task: str
    metric: str
    corrected: Corrected


def correct_results(path: Path, calibration: Calibration) -> list[CorrectedScore]:
    """Full marks and all skills of every SKILL-MIX task in a results file of lm-eval.

    Raises UserError if it has none, OtherJudgeError if it was not judged by the calibration's judge.
    """
    results, records = read_records(path)
    scores = []
    for task, record in records.items():
        if record.judge is None:
            continue
        if not calibration.is_of(record.judge):
            raise OtherJudgeError(
                f"{task} in {path} was judged by {judge_name(record.judge)}, and the calibration is of "
                f"{calibration.name}: model, parameters, prompt version and number of votes must be the same."
            )
        try:
            values, asked = results["results"][task], results["n-samples"][task]["effective"]
        except (KeyError, TypeError) as error:
            raise no_results(path, error) from error
        items = round(_share(path, values, "coverage") * asked)
        if not items:
            raise UserError(f"{task} in {path} has no item with a verdict: there is no score to correct.")
        for metric in CORRECTABLE:
            if metric not in calibration.errors:
                raise UserError(
                    f"The calibration of {calibration.name} has no error rates of {metric}: make it again with "
                    "`skillmix calibrate`."
                )
            granted = round(_share(path, values, metric) * items)
            found = correct(granted, items, calibration.errors[metric])
            scores.append(CorrectedScore(task, metric, found))
    if not scores:
        raise UserError(f"{path} has no results of a judged SKILL-MIX task.")
    return scores


def _share(path: Path, values: dict[str, Any], metric: str) -> float:
    share = values.get(f"{metric},none")
    if not isinstance(share, float | int) or not 0 <= share <= 1:  # NaN is neither
        raise UserError(f"{path} has {metric} = {share}, which is not a share: grade the answers again.")
    return share
