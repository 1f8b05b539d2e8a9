"""The verdict store: a reply that was paid for is on disk before it is used, and is never bought again.

Several processes may use it at once. A key is the hash of the judge's identity, the exact messages and the vote's
number.
"""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from grading.backend import Message, Reply
from grading.failure import Failure
from grading.home import StorePlace
from grading.safety.text import encodable
from grading.store.database import COLUMNS, insert, select
from grading.store.opening import open_database
from grading.verdict import MOST_TOKENS, State, Usage

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
_FAIL = (
    "INSERT INTO failures (key, judge, cause, status, words) VALUES (?, ?, ?, ?, ?) ON CONFLICT (key) DO UPDATE "
    "SET judge = excluded.judge, cause = excluded.cause, status = excluded.status, words = excluded.words, "
    "created = excluded.created"
)
# The database says when.
_INSERT = insert("replies", [name for name in COLUMNS["replies"] if name != "created"])

logger = logging.getLogger(__name__)


def vote_key(identity: dict[str, Any], messages: Iterable[Message], number: int) -> str:
    """The store's key of one vote: 64 hexadecimal digits."""
    content = json.dumps([identity, list(messages), number], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def intact_row(row: Sequence[Any]) -> tuple[Any, ...] | None:
    """A row of replies with its tokens as Usage.read counts them; None if a text or the state is damaged.

    Token counts that are not numbers do not damage a reply: it was paid for, and is kept without its usage.
    """
    key, judge, state, text, detail, prompt, completion, cached, created, refused = row
    if not (all(map(is_text, (key, judge, state, text, detail, created, refused))) and state in _STATES):
        return None
    usage = Usage.read(prompt, completion, cached)
    return key, judge, state, text, detail, usage.prompt, usage.completion, usage.cached, created, refused


def is_text(value: object) -> bool:
    """Whether `value` is a text that UTF-8 can hold: `connect` reads another one with lone surrogates."""
    return isinstance(value, str) and (value.isascii() or encodable(value) == value)


def _which(judge: str | None, days: float | None = None) -> tuple[str, list[str]]:
    """The condition for rows of one judge, or of all, older than `days`, or of any age; and its values."""
    wanted = {}
    if judge is not None:
        wanted["judge = ?"] = judge
    if days is not None:
        wanted["created < ?"] = f"{datetime.now(UTC) - timedelta(days=days):%Y-%m-%d %H:%M:%S}"
    return f"WHERE {' AND '.join(wanted)}" if wanted else "", list(wanted.values())


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
    """Replies by key in the store at `place`, which is made when it is not there."""

    def __init__(self, place: StorePlace) -> None:
        self.place = place
        self._db = open_database(place)
        # Keys whose replies cannot be read: the next reply takes their place.
        self.damaged: set[str] = set()

    def read(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The stored replies among `keys`, without those that are damaged, of which the log says how many."""
        found, damaged = {}, set()
        for row in self._db.rows_for(f"{select('replies')} WHERE key IN", keys):
            if (intact := intact_row(row)) is None:
                damaged.add(row[0])
                continue
            key, _, state, text, detail, prompt, completion, cached, _, refused = intact
            usage = Usage(prompt, completion, cached)
            found[key] = Reply(State(state), text, detail, usage, frozenset(refused.split()), stored=True)
        if damaged:
            self.damaged |= damaged
            advice = f"; `skillmix store repair --file {self.place}` removes them"
            logger.warning(
                "%d stored replies in %s are damaged and are requested again%s.",
                len(damaged),
                self.place,
                advice if isinstance(self.place, Path) else "",
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
        if key in self.damaged:
            self.damaged.discard(key)
            self._db.put("DELETE FROM replies WHERE key = ?", key)
        refused = " ".join(sorted(reply.refused))
        self._db.put(_INSERT, *row, usage.prompt, usage.completion, usage.cached, refused)
        self._db.put("DELETE FROM claims WHERE key = ?", key)
        self._db.put("DELETE FROM failures WHERE key = ?", key)

    def fail(self, key: str, judge: str, failure: Failure) -> None:
        """Note why a call failed, in place of an earlier failure; it is on disk after the next `commit`."""
        self._db.put(_FAIL, key, judge, failure.cause.value, failure.status, failure.words)
        self._db.put("DELETE FROM claims WHERE key = ?", key)

    def failures(self, judge: str | None = None) -> Iterator[dict[str, Any]]:
        """The calls that failed and have no reply yet, with the endpoint's words."""
        where, values = _which(judge)
        for row in self._db.stream(f"{select('failures')} {where} ORDER BY key", values):
            yield dict(zip(COLUMNS["failures"], row, strict=True))

    def commit(self) -> None:
        """Put on disk what was added."""
        self._db.commit()

    def summarise(self) -> list[JudgeVotes]:
        """The content of the store, judge by judge."""
        rows = self._db.rows(
            f"SELECT judge, COUNT(*), SUM(CASE WHEN state = 'graded' THEN 1 ELSE 0 END), {_TOKENS}, MIN(created), "  # noqa: S608
            f"MAX(created), SUM(CASE WHEN {_USED} THEN 0 ELSE 1 END) FROM replies GROUP BY judge ORDER BY judge"
        )
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
        where, values = _which(judge)
        for row in self._db.stream(f"{select('replies')} {where} ORDER BY key", values):
            if intact := intact_row(row):
                yield dict(zip(COLUMNS["replies"], intact, strict=True))
            else:
                damaged += 1
        if damaged:
            logger.warning("%d stored replies in %s are damaged and are left out.", damaged, self.place)

    def count(self, judge: str | None, days: float | None) -> int:
        """How many replies `prune` would delete."""
        where, values = _which(judge, days)
        [(number,)] = self._db.rows(f"SELECT COUNT(*) FROM replies {where}", values)  # noqa: S608
        return int(number)

    def prune(self, judge: str | None, days: float | None) -> int:
        """Delete the replies of one judge, or of all, that are older than `days`, or of any age.

        Returns how many there were. The file shrinks by what they took.
        """
        where, values = _which(judge, days)
        deleted = self._db.write((f"DELETE FROM replies {where}", [values]))  # noqa: S608
        self._db.shrink()
        return deleted

    def size(self) -> int:
        """The store's bytes on disk, its write-ahead log included."""
        return self._db.size()

    def close(self) -> None:
        self._db.close()
