"""How memory and time of `skillmix grade` grow with the number of answers.

    python -m benchmarks.regrade_scale [--answers 1000 10000 100000] [--votes 1]

Each number is graded from lm-eval's samples, with an empty store, in a process of its own, by a judge on loopback
that replies at once. A line has the process's peak memory in MB, and the seconds and milliseconds for each answer
from the first file's opening to the last file's closing.
"""

from __future__ import annotations

import argparse
import json
import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.constant_server import ConstantServer

_TASK, _K, _GENERATIONS = "skillmix_k3", 3, 3
_POINTS = (*(f"s{number}" for number in range(1, _K + 1)), "topic", "sense")
_CONTENT = json.dumps(
    {point: {"quote": "the words of an answer that is long enough", "earned": True} for point in _POINTS}
)


def main() -> None:
    """Run the benchmark, or with --one a single number in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--answers", type=int, nargs="+", default=[1000, 10_000, 100_000])
    parser.add_argument("--votes", type=int, default=1)
    parser.add_argument("--one", nargs=2, metavar=("SAMPLES", "BASE_URL"))
    given = parser.parse_args()
    if given.one:
        _grade(Path(given.one[0]), given.one[1], given.answers[0], given.votes)
        return
    for number in given.answers:
        with TemporaryDirectory() as folder, ConstantServer(_CONTENT, 0.0) as server:
            samples = Path(folder, "samples.jsonl")
            _write(samples, number)
            command = [sys.executable, "-m", "benchmarks.regrade_scale", "--one", str(samples), server.base_url]
            subprocess.run(  # noqa: S603
                [*command, "--answers", str(number), "--votes", str(given.votes)],
                check=True,
                env=os.environ | {"SKILLMIX_HOME": folder},
            )


def _write(path: Path, number: int) -> None:
    """Samples as lm-eval logs them, as far as they are read, with replies of some 150 words."""
    from skillmix_tasks.items.draw import sample_items
    from skillmix_tasks.items.loading import load_pack

    items = sample_items(
        load_pack("language"), task=_TASK, k=_K, split="all", seed=0, number=-(-number // _GENERATIONS)
    )
    filler = " ".join(["Here are the words of an answer that is long enough to be judged."] * 2)
    with path.open("w", encoding="utf-8") as file:
        for index, item in enumerate(items):
            document = {"task": _TASK, "index": index, "private": False, **item.record(private=False)}
            replies = [
                [f"Answer: {filler}\nExplanation: {filler * 3}", f"Answer: Text {index} {generation}. {filler}"]
                for generation in range(_GENERATIONS)
            ]
            file.write(json.dumps({"doc": document, "resps": replies}) + "\n")


def _grade(samples: Path, base_url: str, number: int, votes: int) -> None:
    from skillmix_tasks.commands.regrade import regrade

    logging.disable(logging.INFO)
    started = time.perf_counter()
    judge = {"model": "judge", "base_url": base_url, "votes": votes}
    results = regrade([samples], {"judge": judge}, output=samples.parent / "out")
    seconds = time.perf_counter() - started
    if results["results"][_TASK]["coverage,none"] != 1:
        raise RuntimeError("verdicts are missing")
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"regrade_scale answers={number} votes={votes} peak_memory={peak:.0f}MB "
        f"seconds={seconds:.1f} per_answer={1000 * seconds / number:.2f}ms\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
