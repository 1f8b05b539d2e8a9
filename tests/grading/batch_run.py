"""Grade in batches and print the verdicts, in a process that a test can kill."""

import json
import sys

from grading import Criterion, Grader, GradingRequest, UserError, Verdict, resolve_judge
from grading.batch.backend import BatchBackend
from grading.cost.budget import Budget
from grading.home import StorePlace

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest("Write about rain.", CRITERIA, f"Rain number {number} fell like a tired drum.")
    for number in range(40)
]
WAITS = (0.01, 0.05)


def batch_grader(
    store: StorePlace, base_url: str, most_requests: int = 50_000, budget: Budget | None = None, **spec: object
) -> Grader:
    """A grader that looks at its batches all the time."""
    judge = resolve_judge({"model": "judge-1"} | spec, base_url=base_url)
    grader = Grader(judge, store, budget=budget, batch=True)
    assert isinstance(grader._asker._backend, BatchBackend)
    grader._asker._backend.waits = WAITS
    grader._asker._backend.most_requests = most_requests
    return grader


def decided(verdicts: list[Verdict]) -> list[dict[str, bool | None]]:
    return [{c: decision.earned for c, decision in verdict.decisions.items()} for verdict in verdicts]


def run_batch(store: StorePlace, base_url: str, number: int, most_requests: int) -> None:
    grader = batch_grader(store, base_url, most_requests)
    try:
        verdicts = grader.grade(REQUESTS[:number], progress=False)
    except UserError as error:
        sys.exit(f"Error: {error}")
    sys.stdout.write(json.dumps(decided(verdicts)))
