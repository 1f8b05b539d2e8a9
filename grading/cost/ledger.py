"""One cap in dollars for several processes: each claims a part before it spends, and gives back what is left.

The environment variable SKILLMIX_BUDGET names a folder, also of a file system that several machines share. Each
process has a file there with the dollars that it may spend, and in the end with those that it has spent; a lock
makes claims one at a time. A killed process keeps its last claim, at most a hundredth of the cap above its
spending.
"""

from __future__ import annotations

import json
import uuid
from pathlib import Path

from filelock import FileLock

from grading.errors import UserError
from grading.safety.atomic import write_atomic
from grading.safety.bounds import load_json, read_bytes

BUDGET_VARIABLE = "SKILLMIX_BUDGET"
_PARTS = 100  # of the cap: a claim is one of them, or as much as a call needs


class Ledger:
    """The part of a process in a cap that it shares with the others of `folder`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._own = folder / f"{uuid.uuid4().hex[:12]}.json"

    def claim(self, cap: float, needed: float) -> float:
        """The dollars that this process may spend: at least `needed` of them, or 0 if the others leave too few.

        Raises UserError if the folder cannot be used.
        """
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with FileLock(self.folder / ".lock"):
                free = cap - sum(_dollars(file) for file in self.folder.glob("*.json") if file != self._own)
                if needed > free:
                    return 0.0
                claimed = min(free, needed + cap / _PARTS)
                self._write(claimed)
        except OSError as error:
            raise UserError(
                f"The budget in {self.folder} cannot be kept ({error.strerror}): name another folder with "
                f"{BUDGET_VARIABLE}."
            ) from error
        return claimed

    def close(self, spent: float) -> None:
        """Give back the part of the claim that is not `spent`."""
        if self._own.exists():
            self._write(spent)

    def _write(self, dollars: float) -> None:
        write_atomic(self._own, json.dumps({"dollars": dollars}) + "\n")


def _dollars(file: Path) -> float:
    try:
        return float(load_json(read_bytes(file))["dollars"])
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{file} is not part of a budget: remove it if you do not need it.") from error
