"""How time, memory and the store grow with the number of gradings.

    python -m benchmarks.grading_scale [--gradings 1000 10000 100000]

Each number is graded by one grader in parts of 500 answers with one vote each, in a process of its own with an
empty store, by a judge on loopback that replies at once, in fixed mode (the adaptive one spends its first seconds
on finding the pace). A line has the milliseconds for each grading, the
process's peak memory, the store's bytes for each grading, and the most that its write-ahead log held; the last
line what the largest number takes in proportion to the smallest.
"""

from __future__ import annotations

import argparse
import json
import logging
import resource
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.constant_server import ConstantServer
from grading import Criterion, Grader, GradingRequest, resolve_judge

_PART = 500  # answers; the smallest number fills it
_CRITERIA = tuple(Criterion(f"c{number}", f"The text shows quality {number}.") for number in range(6))
_QUOTE = "the words of an answer that is about as long as"
_CONTENT = json.dumps({criterion.id: {"quote": _QUOTE, "earned": True} for criterion in _CRITERIA})
_FIGURES = {"ms_per_grading": 3, "peak_memory_mb": 1, "store_bytes_per_grading": 1, "log_mb": 1}


def main() -> None:
    """Run the benchmark, or with --one a single number in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--gradings", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--concurrency", type=int, default=64)
    parser.add_argument("--one", metavar="BASE_URL")
    given = parser.parse_args()
    if given.one:
        sys.stdout.write(json.dumps(_measure(given.one, given.gradings[0], given.concurrency)))
        return
    measured = []
    for number in sorted(given.gradings):
        with ConstantServer(_CONTENT, 0.0) as server:
            command = [sys.executable, "-m", "benchmarks.grading_scale", "--one", server.base_url]
            done = subprocess.run(  # noqa: S603
                [*command, "--gradings", str(number), "--concurrency", str(given.concurrency)],
                check=True,
                stdout=subprocess.PIPE,
            )
        measured.append(json.loads(done.stdout))
        _say(f"gradings={number}", measured[-1])
    if len(measured) > 1:
        _say("largest/smallest", {name: measured[-1][name] / measured[0][name] for name in list(_FIGURES)[:3]}, 3)


def _say(what: str, figures: dict[str, float], digits: int | None = None) -> None:
    shown = (f"{name}={value:.{_FIGURES[name] if digits is None else digits}f}" for name, value in figures.items())
    sys.stdout.write(f"grading_scale {what} {' '.join(shown)}\n")
    sys.stdout.flush()


def _parts(number: int) -> Iterator[list[GradingRequest]]:
    """Different answers of some 80 words to one question."""
    text = " ".join(["These are the words of an answer that is about as long as a student's three sentences."] * 5)
    for start in range(0, number, _PART):
        indices = range(start, min(start + _PART, number))
        yield [GradingRequest("Write three sentences.", _CRITERIA, f"{text} {index:06}") for index in indices]


def _measure(base_url: str, number: int, concurrency: int) -> dict[str, float]:
    logging.disable(logging.INFO)
    judge = resolve_judge("judge", base_url=base_url, votes=1)
    with TemporaryDirectory() as folder:
        store = Path(folder, "verdicts.sqlite")
        grader = Grader(judge, store, concurrency=concurrency, adaptive=False)
        grader.expect(number)
        started, log = time.perf_counter(), 0
        for part in _parts(number):
            for verdict in grader.grade(part, progress=False):
                if not all(decision.earned for decision in verdict.decisions.values()):
                    raise RuntimeError("a verdict is missing")
            log = max(log, store.with_name(f"{store.name}-wal").stat().st_size)
        grader.close()
        seconds = time.perf_counter() - started
        size = sum(file.stat().st_size for file in Path(folder).iterdir())
    return {
        "ms_per_grading": 1000 * seconds / number,
        "peak_memory_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
        "store_bytes_per_grading": size / number,
        "log_mb": log / 2**20,
    }


if __name__ == "__main__":
    main()
