"""Scores of lm-eval's results, corrected for the judge's errors by its calibration; the raw score stays beside."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading import UserError
from grading.safety.bounds import load_json, read_text
from skillmix_tasks.calibration.correction import Corrected, correct
from skillmix_tasks.calibration.record import CORRECTABLE, Calibration
from skillmix_tasks.stored.record import task_record


@dataclass(frozen=True)
class CorrectedScore:
    """One metric of one task; its units are the items with a verdict."""

    task: str
    metric: str
    corrected: Corrected

    def record(self) -> dict[str, Any]:
        """The figures as JSON data."""
        return {"task": self.task, "metric": self.metric} | self.corrected.model_dump()


def correct_results(path: Path, calibration: Calibration) -> list[CorrectedScore]:
    """Full marks and all skills of every SKILL-MIX task in a results file of lm-eval.

    Raises UserError if it has none, or was judged otherwise than the calibration's judge judges.
    """
    results = read_results(path)
    scores = []
    for task in results["configs"]:
        record = task_record(results, task, path)
        judge = record and record.judge
        if not judge:
            continue
        if not calibration.is_of(judge):
            named = judge.get("model") or " and ".join(one["model"] for one in judge["panel"])
            raise UserError(
                f"{task} in {path} was judged by {named}, and the calibration is of {calibration.name}: model, "
                "parameters, prompt version and number of votes have to be the same."
            )
        values = results["results"][task]
        items = round(_share(path, values, "coverage") * results["n-samples"][task]["effective"])
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


def read_results(path: Path) -> dict[str, Any]:
    """lm-eval's results in a file; UserError if it holds none."""
    try:
        results = load_json(read_text(path))
    except OSError as error:
        raise UserError(f"The results {path} cannot be read ({error.strerror}).") from error
    except ValueError as error:
        raise UserError(f"{path} is not JSON: name a results_*.json that `skillmix eval --out` wrote.") from error
    if not isinstance(results, dict) or not {"results", "configs", "n-samples"} <= set(results):
        raise UserError(f"{path} is not a results file: name a results_*.json that `skillmix eval --out` wrote.")
    return results
