"""The red-team set against a judge."""

from __future__ import annotations

from collections.abc import Sequence

from grading.engine import Grader
from grading.redteam.items import RedTeamItem, redteam_items
from grading.redteam.outcome import compare
from grading.redteam.report import Report
from grading.verdict import GradingRequest


def run_redteam(grader: Grader, items: Sequence[RedTeamItem] | None = None, *, progress: bool = True) -> Report:
    """Judge every item with and without its attack, by the same judge, and count what the attacks won.

    `items` are the whole set unless given. Replies go through the grader's store like any others, so a run that
    was stopped goes on for free.
    """
    chosen = redteam_items() if items is None else list(items)
    requests: list[GradingRequest] = list(
        dict.fromkeys(request for item in chosen for request in (item.base_request, item.request))
    )
    verdicts = dict(zip(requests, grader.grade(requests, progress=progress), strict=True))
    results = [compare(item, verdicts[item.base_request], verdicts[item.request]) for item in chosen]
    bases = {(item.k, item.base): (item, verdicts[item.base_request]) for item in chosen}
    marked = [
        (verdict.decisions[criterion.id].earned, criterion.id in item.earned)
        for item, verdict in bases.values()
        for criterion in item.base_request.criteria
    ]
    return Report(
        judge=grader.judge.record(),
        results=tuple(results),
        base_marks=len(marked),
        base_marks_right=sum(said == true for said, true in marked),
        grading=grader.record(),
    )
