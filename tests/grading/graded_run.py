"""A grading run to be killed: 100 answers with three votes each."""

import json
from dataclasses import asdict
from pathlib import Path

from grading import Criterion, Grader, GradingRequest, resolve_judge

ANSWERS, VOTES, CONCURRENCY = 100, 3, 8
MOST_ANSWERS = 180
CRITERIA = (Criterion("metaphor", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest("Write about rain.", CRITERIA, f"Rain number {number} fell like a tired drum.")
    for number in range(MOST_ANSWERS)
]


def grade_into(output: Path, store: Path, base_url: str, answers: int = ANSWERS) -> None:
    """Write the final table, as JSON, to `output`."""
    judge = resolve_judge("judge-1", base_url=base_url, votes=VOTES)
    verdicts = Grader(judge, store, concurrency=CONCURRENCY).grade(REQUESTS[:answers], progress=False)
    table = [asdict(verdict) for verdict in verdicts]
    for verdict in table:
        for vote in verdict["votes"]:
            del vote["stored"]  # whether this run bought it, and no part of the verdict
    output.write_text(json.dumps(table))
