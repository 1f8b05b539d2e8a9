"""How time and memory of `skillmix generate` grow with the number of tries, and with that of accepted texts.

    python -m benchmarks.generate_scale [--scale 0.1 1] [--accepted 1]

Each scale is the paper's plan (k = 1: at most 4,555 tries, k = 2 and 3: 10,000 each; two turns, three votes) times
that number, made with an empty store in a process of its own by a teacher and a judge on loopback that reply at
once. A line has the tries, the accepted texts, the seconds from the first request to the last row, tries a
second, and the peak memory. `--accepted 0.5` has half of the texts rejected, which shows what memory grows with.
The data set and the summary, which come after the loop, are not in it.
"""

from __future__ import annotations

import argparse
import logging
import os
import resource
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.writing_server import WritingServer


def main() -> None:
    """Run the benchmark, or with --one a single scale in this process."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--scale", type=float, nargs="+", default=[0.1, 1])
    parser.add_argument("--accepted", type=float, default=1.0, help="the share of texts that the judge accepts")
    parser.add_argument("--concurrency", type=int, default=32)
    parser.add_argument("--one", nargs=2, metavar=("FOLDER", "BASE_URL"))
    given = parser.parse_args()
    if given.one:
        _make(Path(given.one[0]), given.one[1], given.scale[0], given.concurrency)
        return
    for scale in given.scale:
        with TemporaryDirectory() as folder, WritingServer(given.accepted) as server:
            command = [sys.executable, "-m", "benchmarks.generate_scale", "--one", folder, server.base_url]
            subprocess.run(  # noqa: S603
                [*command, "--scale", str(scale), "--concurrency", str(given.concurrency)],
                check=True,
                env=os.environ | {"SKILLMIX_HOME": folder},
            )


def _make(folder: Path, base_url: str, scale: float, concurrency: int) -> None:
    from grading import resolve_judge
    from training.texts.generate import Limits, Run, generate
    from training.texts.plan import load_plan, scaled
    from training.texts.teacher import resolve_teacher

    logging.disable(logging.INFO)
    run = Run(
        plan=scaled(load_plan("paper"), scale),
        pack_name="language",
        teacher=resolve_teacher("teacher", base_url=base_url),
        judges=(resolve_judge("judge", base_url=base_url, votes=3),),
    )
    started = time.perf_counter()
    outcome = generate(run, folder / "out", Limits(concurrency=concurrency, progress=False))
    seconds = time.perf_counter() - started
    tallies = [kind.tally for kind in outcome.counts.kinds.values()]
    tries, accepted = sum(one.attempted for one in tallies), sum(one.accepted for one in tallies)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    sys.stdout.write(
        f"generate_scale scale={scale:g} tries={tries} accepted={accepted} seconds={seconds:.1f} "
        f"tries_per_second={tries / seconds:.1f} peak_memory={peak:.0f}MB\n"
    )
    sys.stdout.flush()


if __name__ == "__main__":
    main()
