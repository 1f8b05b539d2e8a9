"""Whether a fresh verdict store can be opened by several processes at the same moment.

    python -m benchmarks.store_opens [--times 200]

For 2, 4 and 8 processes: so many fresh stores, each opened by all processes at once; the errors, and the seconds.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack
from pathlib import Path

_OPENER = """
import sys
from pathlib import Path
from grading import UserError
from grading.store.sqlite import open_file
for line in sys.stdin:
    try:
        open_file(Path(line.rstrip("\\n"))).close()
        print("opened", flush=True)
    except UserError as error:
        print(error, flush=True)
"""


def open_at_once(folder: Path, processes: int, times: int) -> list[str]:
    """The errors of so many processes that open store-0.sqlite, store-1.sqlite, ... in `folder` together."""
    errors = []
    with ExitStack() as stack:
        openers = [
            stack.enter_context(
                subprocess.Popen(  # noqa: S603
                    [sys.executable, "-c", _OPENER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
                )
            )
            for _ in range(processes)
        ]
        for number in range(times):
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.write(f"{folder / f'store-{number}.sqlite'}\n")
            for opener in openers:
                assert opener.stdin is not None
                opener.stdin.flush()
            for opener in openers:
                assert opener.stdout is not None
                said = opener.stdout.readline()
                if said != "opened\n":
                    errors.append(said)
        for opener in openers:
            assert opener.stdin is not None
            opener.stdin.close()
    return errors


def main() -> None:
    """Print a line for each number of processes."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--times", type=int, default=200)
    given = parser.parse_args()
    for processes in (2, 4, 8):
        with tempfile.TemporaryDirectory() as folder:
            began = time.perf_counter()
            errors = open_at_once(Path(folder), processes, given.times)
            seconds = time.perf_counter() - began
        sys.stdout.write(
            f"store_opens processes={processes} times={given.times} errors={len(errors)} {seconds=:.1f}\n"
        )


if __name__ == "__main__":
    main()
