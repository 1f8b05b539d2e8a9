"""Which calls a run is paying for right now, so that no other run with the same store pays for them, too.

A claim has an expiry, which its run renews as long as it lives. So the claims of a run that was killed are free
again after LEASE seconds, and at once where the same machine sees that its process has ended.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import time
import uuid
from collections.abc import Collection, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from grading.errors import UserError
from grading.store.database import explained, open_database, transaction

LEASE = 30.0  # seconds
_RENEWALS = 5  # in that time
_CHUNK = 300


def _machine() -> str:
    """A name for the processes that this one sees: hosts and containers may share a host's name."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = (boot.read_text().strip() if boot.exists() else "", space.stat().st_ino if space.exists() else 0)
    return f"{platform.node()}-{parts[0]}-{parts[1]}".replace(":", "-")


_HERE = _machine()
_open: set[str] = set()  # the owners in this process that are not closed

logger = logging.getLogger(__name__)


class Claims:
    """The claims of one run in the store's file `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path)
        self._owner = f"{_HERE}:{os.getpid()}:{uuid.uuid4().hex}"
        _open.add(self._owner)

    def take(self, keys: Iterable[str], damaged: Collection[str] = ()) -> set[str]:
        """Those of `keys` that are this run's now: they have no reply, and no other living run claims them.

        The replies to `damaged` cannot be read.
        """
        wanted, now = list(keys), time.time()
        with explained(self._path), transaction(self._db):
            self._db.execute("DELETE FROM claims WHERE expires < ?", (now,))
            owners = [owner for [owner] in self._db.execute("SELECT DISTINCT owner FROM claims")]
            self._db.executemany("DELETE FROM claims WHERE owner = ?", ((one,) for one in owners if _is_dead(one)))
            taken = {
                key
                for chunk in _chunks(wanted)
                for [key] in self._db.execute(
                    f"SELECT key FROM replies WHERE key IN ({_marks(chunk)}) UNION ALL "  # noqa: S608
                    f"SELECT key FROM claims WHERE key IN ({_marks(chunk)})",
                    [*chunk, *chunk],
                )
            }
            claimed = {
                key
                for chunk in _chunks(sorted(taken.intersection(damaged)))
                for [key] in self._db.execute(f"SELECT key FROM claims WHERE key IN ({_marks(chunk)})", chunk)  # noqa: S608
            }
            free = [key for key in wanted if key not in taken or (key in damaged and key not in claimed)]
            self._db.executemany(
                "INSERT INTO claims VALUES (?, ?, ?)", ((key, self._owner, now + LEASE) for key in free)
            )
        return set(free)

    @contextmanager
    def held(self) -> Iterator[None]:
        """Renew the claims as long as the block runs, and give up afterwards those that are left."""
        done = threading.Event()
        thread = threading.Thread(target=self._renew, args=(done,), name="claims", daemon=True)
        thread.start()
        try:
            yield
        finally:
            done.set()
            thread.join()
            with explained(self._path):
                self._db.execute("DELETE FROM claims WHERE owner = ?", (self._owner,))

    def close(self) -> None:
        """Close the file."""
        _open.discard(self._owner)
        self._db.close()

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(LEASE / _RENEWALS):
            try:
                with explained(self._path):
                    self._db.execute(
                        "UPDATE claims SET expires = ? WHERE owner = ?", (time.time() + LEASE, self._owner)
                    )
            except UserError as error:
                logger.warning("Another run with this store may pay for the same calls: %s", error)


def _is_dead(owner: str) -> bool:
    """Whether an owner on this machine pays no more; on another machine only the lease says so.

    A run that could not give up its claims on a full disk leaves them behind in a process that goes on.
    """
    here, _, rest = owner.partition(":")
    process = rest.partition(":")[0]
    if here != _HERE or not process.isdecimal():
        return False
    if int(process) == os.getpid():
        return owner not in _open
    status = Path(f"/proc/{process}/stat")
    if Path("/proc/self/stat").exists():
        try:
            return status.read_text().rpartition(")")[2].split()[0] == "Z"  # ended, and nobody has asked how
        except OSError:
            return True
    return False


def _chunks(keys: Sequence[str]) -> Iterator[Sequence[str]]:
    return (keys[start : start + _CHUNK] for start in range(0, len(keys), _CHUNK))


def _marks(chunk: Sequence[str]) -> str:
    return ",".join("?" * len(chunk))
