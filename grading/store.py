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
from pathlib import Path
from typing import Any

from grading.backend import Message, Reply
from grading.errors import UserError
from grading.verdict import State, Usage

_SCHEMA_VERSION = 1
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
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""
_BUSY_TIMEOUT = 60.0  # seconds that a process waits for another one's write
_CHUNK = 500  # keys in one query; SQLite's oldest limit on variables is 999


def vote_key(identity: dict[str, Any], messages: Iterable[Message], number: int) -> str:
    """The store's key of one vote: 64 hexadecimal digits."""
    content = json.dumps([identity, list(messages), number], sort_keys=True, ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


class VerdictStore:
    """Replies by key in the SQLite file `path`, which is made when it is not there."""

    def __init__(self, path: Path) -> None:
        self.path = path
        with self._explained():
            path.parent.mkdir(parents=True, exist_ok=True)
            # The client's thread writes while the caller's thread waits; never two at once.
            self._db = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
            self._db.execute("PRAGMA journal_mode=WAL")
            self._db.execute("PRAGMA synchronous=FULL")  # a reply is paid for: it must survive a power cut
            [version] = self._db.execute("PRAGMA user_version").fetchone()
            if version > _SCHEMA_VERSION:
                raise UserError(
                    f"The verdict store {path} was written by a newer version of this package: "
                    "install that version, or name another folder with SKILLMIX_HOME."
                )
            self._db.execute(_SCHEMA)
            self._db.execute(f"PRAGMA user_version={_SCHEMA_VERSION}")

    def read(self, keys: Iterable[str]) -> dict[str, Reply]:
        """The stored replies among `keys`."""
        wanted = list(keys)
        found = {}
        with self._explained():
            for start in range(0, len(wanted), _CHUNK):
                chunk = wanted[start : start + _CHUNK]
                rows = self._db.execute(  # only question marks are put into the text
                    "SELECT key, state, text, detail, prompt_tokens, completion_tokens, cached_tokens "  # noqa: S608
                    f"FROM replies WHERE key IN ({','.join('?' * len(chunk))})",
                    chunk,
                )
                for key, state, text, detail, prompt, completion, cached in rows:
                    found[key] = Reply(State(state), text, detail, Usage(prompt, completion, cached))
        return found

    def write(self, key: str, judge: str, reply: Reply) -> None:
        """Put one reply on disk; the first reply to a key stays."""
        usage = reply.usage
        row = (key, judge, reply.state.value, reply.text, reply.detail)
        with self._explained():
            self._db.execute(
                "INSERT INTO replies (key, judge, state, text, detail, prompt_tokens, completion_tokens, "
                "cached_tokens) VALUES (?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (key) DO NOTHING",
                (*row, usage.prompt, usage.completion, usage.cached),
            )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    @contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            raise UserError(
                f"The verdict store {self.path} cannot be used ({error}): free space, mend its permissions, "
                "or name another folder with SKILLMIX_HOME; verdicts already in it are kept."
            ) from error
