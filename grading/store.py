"""The verdict store: a reply that was paid for is on disk before it is used, and is never bought again.

One SQLite file in WAL mode, which several processes may use at once. A key is the hash of the judge's
identity, the exact messages and the vote's number.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.backend import Message, Reply
from grading.errors import UserError
from grading.verdict import State, Usage

_SCHEMA_VERSION = 2  # 1 had no column `refused`
_SCHEMA = """
CREATE TABLE IF NOT EXISTS replies (
    key TEXT PRIMARY KEY,
    judge TEXT NOT NULL,
    state TEXT NOT NULL,
    text TEXT NOT NULL,
    detail TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL,
    completion_tokens INTEGER NOT NULL,
    cached_tokens INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP,
    refused TEXT NOT NULL DEFAULT ''
) WITHOUT ROWID
"""
_PRUNED = (
    "FROM replies WHERE (?1 IS NULL OR judge = ?1) AND (?2 IS NULL OR created < datetime('now', ?2 || ' days'))"
)
_BUSY_TIMEOUT = 60.0  # seconds that a process waits for another one's write
_CHUNK = 500  # keys in one query; SQLite's oldest limit on variables is 999


def vote_key(identity: dict[str, Any], messages: Iterable[Message], number: int) -> str:
    """The store's key of one vote: 64 hexadecimal digits."""
    content = json.dumps([identity, list(messages), number], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def _pruned(judge: str | None, days: float | None) -> tuple[str | None, str | None]:
    return judge, None if days is None else f"-{days:f}"


@dataclass(frozen=True)
class JudgeVotes:
    """The stored replies of one judge: how many, how many with text to parse, their tokens, and when they came.

    `first` and `last` are times in UTC, as "YYYY-MM-DD HH:MM:SS".
    """

    judge: str
    votes: int
    graded: int
    usage: Usage
    first: str
    last: str


class VerdictStore:
    """Replies by key in the SQLite file `path`, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The client's thread writes while the caller's thread waits; never two at once.
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            try:
                self._prepare()
            except BaseException:
                self._db.close()
                raise

    def read(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The stored replies among `keys`."""
        wanted = list(keys)
        found = {}
        with self._explained():
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                rows = self._db.execute(  # only question marks are put into the text
                    "SELECT key, state, text, detail, prompt_tokens, completion_tokens, cached_tokens, refused "  # noqa: S608
                    f"FROM replies WHERE key IN ({','.join('?' * len(chunk))})",
                    chunk,
                )
                for key, state, text, detail, prompt, completion, cached, refused in rows:
                    usage = Usage(prompt, completion, cached)
                    found[key] = Reply(State(state), text, detail, usage, frozenset(refused.split()))
        return found

    def write(self, key: str, judge: str, reply: Reply) -> None:
        """Put one reply on disk; the first reply to a key stays."""
        self.add(key, judge, reply)
        self.commit()

    def add(self, key: str, judge: str, reply: Reply) -> None:
        """Take one reply, which is on disk after the next `commit`: one wait for the disk serves many."""
        usage = reply.usage
        row = (key, judge, reply.state.value, reply.text, reply.detail)
        with self._explained():
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            self._db.execute(
                "INSERT INTO replies (key, judge, state, text, detail, prompt_tokens, completion_tokens, "
                "cached_tokens, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (*row, usage.prompt, usage.completion, usage.cached, " ".join(sorted(reply.refused))),
            )

    def commit(self) -> None:
        """Put on disk what was added."""
        with self._explained():
            if self._db.in_transaction:
                self._db.execute("COMMIT")

    def summarise(self) -> list[JudgeVotes]:
        """What the store holds, judge by judge."""
        with self._explained():
            rows = self._db.execute(
                "SELECT judge, COUNT(*), SUM(state = 'graded'), SUM(prompt_tokens), SUM(completion_tokens), "
                "SUM(cached_tokens), MIN(created), MAX(created) FROM replies GROUP BY judge ORDER BY judge"
            ).fetchall()
        return [
            JudgeVotes(judge, votes, graded, Usage(prompt, completion, cached), first, last)
            for judge, votes, graded, prompt, completion, cached, first, last in rows
        ]

    def records(self, judge: str | None = None) -> Iterator[dict[str, Any]]:
        """All replies, or those of one judge, column by column, in the order of their keys."""
        with self._explained():
            cursor = self._db.execute("SELECT * FROM replies WHERE ?1 IS NULL OR judge = ?1", (judge,))
            names = [column[0] for column in cursor.description]
            for row in cursor:
                yield dict(zip(names, row, strict=True))

    def count(self, judge: str | None, days: float | None) -> int:
        """How many replies `prune` would delete."""
        with self._explained():
            [number] = self._db.execute(f"SELECT COUNT(*) {_PRUNED}", _pruned(judge, days)).fetchone()
        return int(number)

    def prune(self, judge: str | None, days: float | None) -> int:
        """Delete the replies of one judge, or of all, that are older than `days`, or of any age.

        Returns how many there were. The file shrinks by what they took.
        """
        with self._explained():
            deleted = self._db.execute(f"DELETE {_PRUNED}", _pruned(judge, days)).rowcount
            self._db.execute("VACUUM")
            self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        return deleted

    def size(self) -> int:
        """The store's bytes on disk, its write-ahead log included."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _prepare(self) -> None:
        self._db.execute("PRAGMA journal_mode=WAL")
        self._db.execute("PRAGMA synchronous=FULL")  # a reply is paid for: it must survive a power cut
        version = self._version()
        if version > _SCHEMA_VERSION:
            raise UserError(
                f"The verdict store {self.path} was written by a newer version of this package: "
                "install that version, or name another folder with SKILLMIX_HOME."
            )
        if version < _SCHEMA_VERSION:
            self._migrate()

    def _version(self) -> int:
        [version] = self._db.execute("PRAGMA user_version").fetchone()
        return int(version)

    def _migrate(self) -> None:
        """Make the tables of a new file, or bring those of an older version up to date, whole or not at all."""
        self._db.execute("BEGIN IMMEDIATE")
        try:
            self._db.execute(_SCHEMA)
            columns = {row[1] for row in self._db.execute("PRAGMA table_info(replies)")}
            if "refused" not in columns:
                self._db.execute("ALTER TABLE replies ADD COLUMN refused TEXT NOT NULL DEFAULT ''")
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")
            self._db.execute("COMMIT")
        except BaseException:
            if self._db.in_transaction:
                self._db.execute("ROLLBACK")
            raise

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"The verdict store {self.path} cannot be used ({error}): free space, mend its permissions, "
                "or name another folder with SKILLMIX_HOME; verdicts already in it are kept."
            ) from error
