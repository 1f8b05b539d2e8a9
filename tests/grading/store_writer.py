"""Write votes into a store until told to stop, and say each one's key once it is on disk.

    python -m tests.grading.store_writer STORE FIRST NUMBER [FILE_SIZE]

FIRST is the number of the first key; no file may grow beyond FILE_SIZE bytes.
"""

import resource
import sys
from pathlib import Path

from grading import State, Usage, UserError
from grading.backend import Reply
from grading.store.replies import VerdictStore


def main(path: str, first: int, number: int, size: int | None = None) -> None:
    if size is not None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (size, size))
    try:
        store = VerdictStore(Path(path))
        for key in range(first, first + number):
            store.write(str(key), "judge", Reply(State.GRADED, f"{key} " * 100, usage=Usage(10, key)))
            sys.stdout.write(f"{key}\n")
            sys.stdout.flush()
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main(sys.argv[1], *map(int, sys.argv[2:]))
