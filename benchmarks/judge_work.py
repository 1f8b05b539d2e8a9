"""The work that the benchmarks of the judge's client have in common."""

from __future__ import annotations

import json
import time
import uuid
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from grading import Criterion, Grader, GradingRequest, State, resolve_judge
from grading.asker import open_backend
from grading.backend import VoteCall
from grading.home import Server
from grading.protocol.prompt import build_messages
from grading.store.replies import VerdictStore
from tests.grading.taking import replies_of

CRITERIA = tuple(Criterion(f"c{number}", f"The text shows quality {number}.") for number in range(6))
CONTENT = json.dumps({criterion.id: {"quote": "words of an answer", "earned": True} for criterion in CRITERIA})


@dataclass(frozen=True)
class Spent:
    """Seconds by the clock and of this process's CPU."""

    wall: float
    cpu: float


def requests(number: int) -> list[GradingRequest]:
    """Different answers of some 80 words to one question."""
    text = " ".join(["The words of an answer that is about as long as the three sentences of a student."] * 5)
    return [GradingRequest("Write three sentences.", CRITERIA, f"{text} {index}") for index in range(number)]


def ask(base_url: str, number: int, *, concurrency: int) -> Spent:
    """Ask `number` votes by the client alone, whose replies nobody reads."""
    judge = resolve_judge("judge", base_url=base_url)
    work = [
        VoteCall(str(index), 0, build_messages(request), tuple(one.id for one in CRITERIA), request.answer, 0)
        for index, request in enumerate(requests(number))
    ]
    backend = open_backend(judge, concurrency, adaptive=False)
    wall, cpu = time.perf_counter(), time.process_time()
    states = [reply.state for _, reply in replies_of(backend, work)]
    spent = Spent(time.perf_counter() - wall, time.process_time() - cpu)
    if states != [State.GRADED] * number:
        raise RuntimeError("replies are missing")
    return spent


def grade(base_url: str, number: int, *, concurrency: int, adaptive: bool, server: Server | None = None) -> Spent:
    """Grade `number` answers with one vote each by the complete engine: prompts, client, parser and store.

    The store is a new file, or on `server`, where it holds nothing of this run's judge before nor after.
    """
    judge = resolve_judge(f"judge-{uuid.uuid4().hex}" if server else "judge", base_url=base_url, votes=1)
    with TemporaryDirectory() as folder:
        store = server or Path(folder, "verdicts.sqlite")
        grader = Grader(judge, store, concurrency=concurrency, adaptive=adaptive)
        work = requests(number)
        wall, cpu = time.perf_counter(), time.process_time()
        verdicts = grader.grade(work, progress=False)
        spent = Spent(time.perf_counter() - wall, time.process_time() - cpu)
        grader.close()
        if server:
            with closing(VerdictStore(server)) as left:
                left.prune(judge.model, None)
    missing = sum(decision.earned is not True for one in verdicts for decision in one.decisions.values())
    if missing:
        raise RuntimeError(f"{missing} verdicts are missing")
    return spent
