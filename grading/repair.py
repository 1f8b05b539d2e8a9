"""A damaged verdict store: all that can be read of it is copied into a new one at its place."""

from __future__ import annotations

import re
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.database import connect, explained, is_damage, open_database, transaction
from grading.errors import UserError
from grading.store import ALL_REPLIES, COLUMNS, is_sound

_HALVINGS = 12  # of the keys between two that can be read: one damaged page of 4,096 hides only itself
_LAST = "\U0010ffff"  # sorts behind every key
_HEX = re.compile(r"[0-9a-f]{16,}")
_PAGE = 4096  # bytes; SQLite's default, which stores have
_PAGES = 28  # the place of a file's number of pages, from its first byte


@dataclass(frozen=True)
class Repair:
    """What was copied and what was not: `damaged` replies were found and left out.

    `incomplete` tells that parts of the file could not be read at all. `old` is where the damaged file is now, or
    None if nothing was wrong with it and it stays.
    """

    votes: int
    batches: int
    damaged: int
    incomplete: bool
    old: Path | None


def repair_store(path: Path) -> Repair:
    """Put a new store with all that can be read of the one at `path` in its place, and set the old one aside.

    Raises UserError if another process uses it, or if it is no verdict store.
    """
    try:
        open_database(path).close()  # which brings one of an older version up to date
    except UserError as error:
        if error.__cause__ is None or not is_damage(error.__cause__):
            raise
    with explained(path), tempfile.TemporaryDirectory(prefix=".repair-", dir=path.parent) as folder:
        new = Path(folder) / "new.sqlite"
        with closing(open_database(new)) as target:
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            first_page = new.read_bytes()[:_PAGE]
            with closing(_readable(path, Path(folder), first_page)) as source:
                copying = _Copying(source, target)
                copying.run()
            target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            [votes] = target.execute("SELECT COUNT(*) FROM replies").fetchone()
            [batches] = target.execute("SELECT COUNT(*) FROM batches").fetchone()
        sound = not copying.damaged and not copying.incomplete
        old = None if sound else _exchanged(path, new)
        return Repair(votes, batches, len(copying.damaged), copying.incomplete, old)


class _Copying:
    """Copies what can be read of `source`; `damaged` are the keys of replies that were found and left out."""

    def __init__(self, source: sqlite3.Connection, target: sqlite3.Connection) -> None:
        self._source = source
        self._target = target
        self.damaged: set[object] = set()
        self.incomplete = False

    def run(self) -> None:
        """Copy replies and open batches."""
        with transaction(self._target):
            self._insert("replies", self._replies(), COLUMNS)
            for table in ("batches", "batch_votes"):
                columns = [row[1] for row in self._target.execute(f"PRAGMA table_info({table})")]
                query = f"SELECT {', '.join(columns)} FROM {table}"  # noqa: S608
                self._insert(table, filter(_is_readable, self._until_damage(query, ())), columns)

    def _insert(self, table: str, rows: Iterator[Sequence[Any]], columns: Sequence[str]) -> None:
        places = ", ".join("?" * len(columns))
        names = ", ".join(columns)
        self._target.executemany(f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({places})", rows)  # noqa: S608

    def _replies(self) -> Iterator[Sequence[Any]]:
        for row in self._between("", _LAST, _HALVINGS):
            if is_sound(row):
                yield row
            else:
                self.damaged.add(row[0])

    def _between(self, low: str, high: str, halvings: int) -> Iterator[Sequence[Any]]:
        """The replies with keys from `low` to `high`: from both ends up to the damage, then in both halves."""
        last = first = None
        for row in self._until_damage(f"{ALL_REPLIES} WHERE key BETWEEN ? AND ? ORDER BY key", (low, high)):
            last = row[0]
            yield row
        if not self._stopped:
            return
        for row in self._until_damage(f"{ALL_REPLIES} WHERE key BETWEEN ? AND ? ORDER BY key DESC", (low, high)):
            if row[0] == last:
                break
            first = row[0]
            yield row
        low, high = _key(last, low), _key(first, high)
        middle = f"{(_place(low, 0) + _place(high, 16**16 - 1)) // 2:016x}"
        if halvings and low < middle < high:
            yield from self._between(low, middle, halvings - 1)
            yield from self._between(middle, high, halvings - 1)

    def _until_damage(self, query: str, values: Sequence[str]) -> Iterator[Sequence[Any]]:
        self._stopped = False
        try:
            yield from self._source.execute(query, values)
        except sqlite3.Error as error:
            if not is_damage(error):
                raise
            self._stopped = self.incomplete = True


def _readable(path: Path, folder: Path, first_page: bytes) -> sqlite3.Connection:
    """The store at `path`, held against all others; a copy with a new first page where its own cannot be read."""
    source = connect(path)
    try:
        source.execute("PRAGMA busy_timeout=0")
        source.execute("PRAGMA locking_mode=EXCLUSIVE")
        source.execute("BEGIN EXCLUSIVE")
        source.execute("SELECT 1 FROM sqlite_master").fetchall()
    except sqlite3.Error as error:
        if not is_damage(error):
            source.close()
            raise
        source.close()
        copy = folder / "old.sqlite"
        shutil.copyfile(path, copy)
        with suppress(FileNotFoundError):
            shutil.copyfile(path.with_name(f"{path.name}-wal"), copy.with_name(f"{copy.name}-wal"))
        with copy.open("r+b") as file:
            file.write(first_page)
            file.seek(_PAGES)
            file.write((copy.stat().st_size // _PAGE).to_bytes(4, "big"))
        source = connect(copy)
    return source


def _exchanged(path: Path, new: Path) -> Path:
    """Where the old file is now; the new one is in its place."""
    number = 1
    while (old := path.with_name(f"{path.name}.damaged-{number}")).exists():
        number += 1
    # Its log goes with it, and would be taken for the new file's.
    for log in ("-wal", "-shm"):
        with suppress(FileNotFoundError):
            path.with_name(f"{path.name}{log}").rename(old.with_name(f"{old.name}{log}"))
    path.rename(old)
    new.replace(path)
    return old


def _is_readable(row: Sequence[Any]) -> bool:
    return all(isinstance(value, int) or (isinstance(value, str) and _encodes(value)) for value in row)


def _encodes(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _key(found: object, otherwise: str) -> str:
    return found if isinstance(found, str) and _encodes(found) else otherwise


def _place(key: str, otherwise: int) -> int:
    return int(key[:16], 16) if _HEX.match(key) else otherwise
