"""The verdict store: a reply that was paid for is on disk before it is used, and is never bought again.

One SQLite file in WAL mode, which several processes may use at once. A key is the hash of the judge's
identity, the exact messages and the vote's number.
"""

from __future__ import annotations

import hashlib
import json
import logging
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from grading.backend import Message, Reply
from grading.failure import Failure
from grading.safety.text import encodable
from grading.store.database import explained, open_database
from grading.verdict import MOST_TOKENS, State, Usage

# Of the table of replies.
COLUMNS: tuple[str, ...] = (
    "key",
    "judge",
    "state",
    "text",
    "detail",
    "prompt_tokens",
    "completion_tokens",
    "cached_tokens",
)
COLUMNS += ("created", "refused")
_PRUNED = (
    "FROM replies WHERE (?1 IS NULL OR judge = ?1) AND (?2 IS NULL OR created < datetime('now', ?2 || ' days'))"
)
# Sums as Usage.read counts: rows of older versions may hold anything, and a sum beyond 64 bits is an error.
_KNOWN = f"prompt_tokens BETWEEN 0 AND {MOST_TOKENS} AND completion_tokens BETWEEN 0 AND {MOST_TOKENS}"
_USED = f"{_KNOWN} AND prompt_tokens + completion_tokens > 0"
_TOKENS = ", ".join(
    f"SUM(CASE WHEN {_KNOWN} THEN CAST({value} AS INTEGER) ELSE 0 END)"
    for value in (
        "prompt_tokens",
        "completion_tokens",
        "CASE WHEN cached_tokens BETWEEN 0 AND prompt_tokens THEN cached_tokens ELSE 0 END",
    )
)
_STATES = frozenset(State)
_CHUNK = 500  # keys in one query; SQLite's oldest limit on variables is 999

logger = logging.getLogger(__name__)


def vote_key(identity: dict[str, Any], messages: Iterable[Message], number: int) -> str:
    """The store's key of one vote: 64 hexadecimal digits."""
    content = json.dumps([identity, list(messages), number], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


_ALL = f"SELECT {', '.join(COLUMNS)} FROM replies"  # noqa: S608


def sound(row: Sequence[Any]) -> tuple[Any, ...] | None:
    """A row of replies with its tokens as Usage.read counts them; None if a text or the state is damaged.

    Tokens that are no numbers do not damage a reply: it was paid for, and is kept without its usage.
    """
    key, judge, state, text, detail, prompt, completion, cached, created, refused = row
    if not (all(map(is_text, (key, judge, state, text, detail, created, refused))) and state in _STATES):
        return None
    usage = Usage.read(prompt, completion, cached)
    return key, judge, state, text, detail, usage.prompt, usage.completion, usage.cached, created, refused


def is_text(value: object) -> bool:
    """Whether `value` is a text that UTF-8 can hold: `connect` reads another one with lone surrogates."""
    return isinstance(value, str) and (value.isascii() or encodable(value) == value)


def _pruned(judge: str | None, days: float | None) -> tuple[str | None, str | None]:
    return judge, None if days is None else f"-{days:f}"


@dataclass(frozen=True)
class JudgeVotes:
    """The stored replies of one judge: how many, how many with text to parse, their tokens, and when they came.

    `without_usage` of the replies came without usage that can be counted, and `usage` leaves them out.
    `first` and `last` are times in UTC, as "YYYY-MM-DD HH:MM:SS".
    """

    judge: str
    votes: int
    graded: int
    usage: Usage
    first: str
    last: str
    without_usage: int


class VerdictStore:
    """Replies by key in the SQLite file `path`, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._db = open_database(path)
        # Keys whose replies cannot be read: the next reply takes their place.
        self.damaged: set[str] = set()
        self._failed: list[tuple[str, str, str, int | None, str]] = []  # rows of failures that wait for a commit

    def read(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The stored replies among `keys`, without those that are damaged, of which the log says how many."""
        wanted = list(keys)
        found, damaged = {}, set()
        with explained(self.path):
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                rows = self._db.execute(  # only question marks are put into the text
                    f"SELECT {', '.join(COLUMNS)} FROM replies WHERE key IN ({','.join('?' * len(chunk))})",  # noqa: S608
                    chunk,
                )
                for row in rows:
                    if (whole := sound(row)) is None:
                        damaged.add(row[0])
                        continue
                    key, _, state, text, detail, prompt, completion, cached, _, refused = whole
                    usage = Usage(prompt, completion, cached)
                    found[key] = Reply(State(state), text, detail, usage, frozenset(refused.split()))
        if damaged:
            self.damaged |= damaged
            logger.warning(
                "%d stored replies in %s are damaged and are asked for again; `skillmix store repair --file %s` "
                "removes them.",
                len(damaged),
                self.path,
                self.path,
            )
        return found

    def write(self, key: str, judge: str, reply: Reply) -> None:
        """Put one reply on disk; the first reply to a key stays."""
        self.add(key, judge, reply)
        self.commit()

    def add(self, key: str, judge: str, reply: Reply) -> None:
        """Take one reply, which is on disk after the next `commit`: one wait for the disk serves many."""
        usage = Usage.read(reply.usage.prompt, reply.usage.completion, reply.usage.cached)
        row = (key, judge, reply.state.value, reply.text, reply.detail)
        with explained(self.path):
            if not self._db.in_transaction:
                self._db.execute("BEGIN IMMEDIATE")
            if key in self.damaged:
                self.damaged.discard(key)
                self._db.execute("DELETE FROM replies WHERE key = ?", (key,))
            self._db.execute(
                "INSERT INTO replies (key, judge, state, text, detail, prompt_tokens, completion_tokens, "
                "cached_tokens, refused) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (*row, usage.prompt, usage.completion, usage.cached, " ".join(sorted(reply.refused))),
            )

            self._db.execute("DELETE FROM claims WHERE key = ?", (key,))
            self._db.execute("DELETE FROM failures WHERE key = ?", (key,))

    def fail(self, key: str, judge: str, failure: Failure) -> None:
        """Note why a call failed, in place of an earlier failure; it is on disk after the next `commit`."""
        self._failed.append((key, judge, failure.cause.value, failure.status, failure.words))

    def failures(self, judge: str | None = None) -> Iterator[dict[str, Any]]:
        """The calls that failed and have no reply yet, with the endpoint's words."""
        columns = ("key", "judge", "cause", "status", "words", "created")
        with explained(self.path):
            for row in self._db.execute(
                f"SELECT {', '.join(columns)} FROM failures WHERE ?1 IS NULL OR judge = ?1",  # noqa: S608
                (judge,),
            ):
                yield dict(zip(columns, row, strict=True))

    def commit(self) -> None:
        """Put on disk what was added."""
        with explained(self.path):
            if self._failed:
                if not self._db.in_transaction:
                    self._db.execute("BEGIN IMMEDIATE")
                self._db.executemany(
                    "INSERT OR REPLACE INTO failures (key, judge, cause, status, words) VALUES (?, ?, ?, ?, ?)",
                    self._failed,
                )
                self._db.executemany("DELETE FROM claims WHERE key = ?", [(row[0],) for row in self._failed])
                self._failed.clear()
            if self._db.in_transaction:
                self._db.execute("COMMIT")

    def summarise(self) -> list[JudgeVotes]:
        """What the store holds, judge by judge."""
        with explained(self.path):
            rows = self._db.execute(
                f"SELECT judge, COUNT(*), SUM(state = 'graded'), {_TOKENS}, "  # noqa: S608
                f"MIN(created), MAX(created), SUM(NOT ({_USED})) FROM replies GROUP BY judge ORDER BY judge"
            ).fetchall()
        return [
            JudgeVotes(
                encodable(str(judge)), votes, graded, Usage(*map(int, tokens)), str(first), str(last), without
            )
            for judge, votes, graded, *tokens, first, last, without in rows
        ]

    def records(self, judge: str | None = None) -> Iterator[dict[str, Any]]:
        """All replies, or those of one judge, column by column, in the order of their keys.

        Damaged ones are left out, and the log says how many in the end.
        """
        damaged = 0
        with explained(self.path):
            for row in self._db.execute(f"{_ALL} WHERE ?1 IS NULL OR judge = ?1", (judge,)):
                if whole := sound(row):
                    yield dict(zip(COLUMNS, whole, strict=True))
                else:
                    damaged += 1
        if damaged:
            logger.warning("%d stored replies in %s are damaged and are left out.", damaged, self.path)

    def count(self, judge: str | None, days: float | None) -> int:
        """How many replies `prune` would delete."""
        with explained(self.path):
            [number] = self._db.execute(f"SELECT COUNT(*) {_PRUNED}", _pruned(judge, days)).fetchone()
        return int(number)

    def prune(self, judge: str | None, days: float | None) -> int:
        """Delete the replies of one judge, or of all, that are older than `days`, or of any age.

        Returns how many there were. The file shrinks by what they took.
        """
        with explained(self.path):
            deleted = self._db.execute(f"DELETE {_PRUNED}", _pruned(judge, days)).rowcount
            try:
                self._db.execute("VACUUM")
                self._db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                # It needs a moment in which no other process works, and space for a copy.
                logger.warning("The replies are deleted, but %s does not shrink yet (%s).", self.path, error)
        return deleted

    def size(self) -> int:
        """The store's bytes on disk, its write-ahead log included."""
        files = (self.path, self.path.with_name(f"{self.path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def close(self) -> None:
        """Close the file."""
        self._db.close()
