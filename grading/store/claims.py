"""Which calls a run is paying for right now, so that no other run with the same store pays for them, too.

A claim has an expiry, which its run renews as long as it lives. So the claims of a run that was killed are free
again after LEASE seconds, and at once where the same machine sees that its process has ended. The time is the
database's: clocks of several machines differ.
"""

from __future__ import annotations

import logging
import os
import platform
import threading
import uuid
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.errors import UserError
from grading.home import StorePlace
from grading.store.opening import open_database

LEASE = 30.0  # seconds
_RENEWALS = 5  # in that time

logger = logging.getLogger(__name__)


def _machine() -> str:
    """A name for the processes that this one sees: hosts and containers may share a host's name."""
    boot, space = Path("/proc/sys/kernel/random/boot_id"), Path("/proc/self/ns/pid")
    parts = (boot.read_text().strip() if boot.exists() else "", space.stat().st_ino if space.exists() else 0)
    return f"{platform.node()}-{parts[0]}-{parts[1]}".replace(":", "-")


_HERE = _machine()
_open: set[str] = set()  # the owners in this process that are not closed


class Claims:
    """The claims of one run in the store at `place`."""

    def __init__(self, place: StorePlace) -> None:
        self._db = open_database(place)
        self._owner = f"{_HERE}:{os.getpid()}:{uuid.uuid4().hex}"
        _open.add(self._owner)
        self._expiry = f"{self._db.clock} + ?"

    def take(self, keys: Iterable[str], damaged: Collection[str] = ()) -> set[str]:
        """Those of `keys` that are this run's now: they have no reply, and no other living run claims them.

        The replies to `damaged` cannot be read.
        """
        wanted = list(keys)
        # Nothing is written, and no other run held up, while this one waits for the claims of others.
        owners = self._db.rows(f"SELECT DISTINCT owner, expires < {self._db.clock} FROM claims")  # noqa: S608
        dead = [(owner,) for owner in {owner for owner, _ in owners} if _is_dead(owner)]
        if dead or any(expired for _, expired in owners):
            self._db.write(
                (f"DELETE FROM claims WHERE expires < {self._db.clock}", [()]),  # noqa: S608
                ("DELETE FROM claims WHERE owner = ?", dead),
            )
        claimed = {key for [key] in self._db.rows_for("SELECT key FROM claims WHERE key IN", wanted)}
        free = [(key, self._owner, LEASE) for key in wanted if key not in claimed]
        if not free:
            return set()
        self._db.write(
            (f"INSERT INTO claims VALUES (?, ?, {self._expiry}) ON CONFLICT (key) DO NOTHING", free)  # noqa: S608
        )
        mine = {key for [key] in self._db.rows("SELECT key FROM claims WHERE owner = ?", (self._owner,))}
        # Looked for after the claim: a run gives its claim up together with its reply.
        answered = {key for [key] in self._db.rows_for("SELECT key FROM replies WHERE key IN", mine)}
        answered.difference_update(damaged)
        if answered:
            self._db.write(("DELETE FROM claims WHERE key = ?", [(key,) for key in answered]))
        return mine - answered

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
            self._db.write(("DELETE FROM claims WHERE owner = ?", [(self._owner,)]))

    def close(self) -> None:
        _open.discard(self._owner)
        self._db.close()

    def _renew(self, done: threading.Event) -> None:
        while not done.wait(LEASE / _RENEWALS):
            try:
                self._db.write(
                    (f"UPDATE claims SET expires = {self._expiry} WHERE owner = ?", [(LEASE, self._owner)])  # noqa: S608
                )
            except UserError as error:
                logger.warning("Another run with this store may pay for the same calls: %s", error)


def _is_dead(owner: str) -> bool:
    """Whether an owner on this machine has ended; on another machine only the lease decides.

    A run that could not give up its claims on a full disk leaves them behind in a process that continues.
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
