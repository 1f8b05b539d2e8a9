"""inspect_ai's model-graded scorer over given answers; run by grading_throughput in inspect_ai's environment.

python inspect_scorer.py BASE_URL SAMPLES IN_FLIGHT
"""

from __future__ import annotations

import os
import sys
from tempfile import TemporaryDirectory

from inspect_ai import Task, eval  # noqa: A004
from inspect_ai.dataset import Sample
from inspect_ai.model import GenerateConfig, ModelOutput, get_model
from inspect_ai.scorer import model_graded_qa
from inspect_ai.solver import Generate, Solver, TaskState, solver

TEXT = " ".join(["The words of an answer that is about as long as the three sentences of a student."] * 5)


@solver
def given_answer() -> Solver:
    """Put a constant answer in the place of a student's."""

    async def solve(state: TaskState, generate: Generate) -> TaskState:  # noqa: ARG001 - the interface of solvers
        state.output = ModelOutput.from_content("given", TEXT)
        return state

    return solve


def main() -> None:
    """Score the samples."""
    base_url, samples, in_flight = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    os.environ["LOCAL_API_KEY"] = "none"
    judge = get_model(
        "openai-api/local/judge", base_url=base_url, config=GenerateConfig(max_connections=in_flight)
    )
    task = Task(
        dataset=[Sample(input=f"Write three sentences. {index}", target=TEXT) for index in range(samples)],
        solver=given_answer(),
        scorer=model_graded_qa(model=judge),
    )
    with TemporaryDirectory() as logs:
        [log] = eval(task, model=None, max_samples=2 * in_flight, log_dir=logs, display="none")
    if log.status != "success":
        raise RuntimeError(str(log.error))


if __name__ == "__main__":
    main()
