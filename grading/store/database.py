"""The store's interface to a database, in SQL that SQLite and PostgreSQL both understand, and its tables."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import AbstractContextManager
from typing import Any, ClassVar

from grading.home import StorePlace

VERSION = 4  # 1 had no column `refused`, 2 no batches, 3 no claims and failures
# The columns of each table, and a key of several; {now} is the time in UTC as "YYYY-MM-DD HH:MM:SS".
TABLES = {
    "replies": {
        "key": "TEXT PRIMARY KEY",
        "judge": "TEXT NOT NULL",
        "state": "TEXT NOT NULL",
        "text": "TEXT NOT NULL",
        "detail": "TEXT NOT NULL",
        "prompt_tokens": "INTEGER NOT NULL",
        "completion_tokens": "INTEGER NOT NULL",
        "cached_tokens": "INTEGER NOT NULL",
        "created": "TEXT NOT NULL DEFAULT {now}",
        "refused": "TEXT NOT NULL DEFAULT ''",
    },
    "batches": {
        "id": "TEXT PRIMARY KEY",
        "base_url": "TEXT NOT NULL",
        "judge": "TEXT NOT NULL",
        "refused": "TEXT NOT NULL",
        "file": "TEXT NOT NULL DEFAULT ''",
        "remote": "TEXT NOT NULL DEFAULT ''",
        "planned": "TEXT NOT NULL DEFAULT {now}",
    },
    "batch_votes": {
        "batch": "TEXT NOT NULL REFERENCES batches (id)",
        "request": "INTEGER NOT NULL",
        "place": "INTEGER NOT NULL",
        "key": "TEXT NOT NULL",
        "PRIMARY KEY": "(batch, request, place)",
    },
    "claims": {
        "key": "TEXT PRIMARY KEY",
        "owner": "TEXT NOT NULL",
        "expires": "DOUBLE PRECISION NOT NULL",
    },
    "failures": {
        "key": "TEXT PRIMARY KEY",
        "judge": "TEXT NOT NULL",
        "cause": "TEXT NOT NULL",
        "status": "INTEGER",
        "words": "TEXT NOT NULL",
        "created": "TEXT NOT NULL DEFAULT {now}",
    },
}
COLUMNS = {table: [name for name in parts if name.islower()] for table, parts in TABLES.items()}
PATIENCE = 60.0  # seconds that a process waits for another one's write, or for a server that is down
_CHUNK = 500  # keys in one query; SQLite's oldest limit on variables is 999

Row = tuple[Any, ...]
Change = tuple[str, Sequence[Sequence[Any]]]


def create(now: str, kind: str = "") -> Iterator[str]:
    """The statements that make missing tables; `kind` is what a database says of those with a key of their own."""
    for table, parts in TABLES.items():
        columns = ", ".join(f"{name} {what}" for name, what in parts.items()).format(now=now)
        yield f"CREATE TABLE IF NOT EXISTS {table} ({columns}) {kind}"
    yield "CREATE INDEX IF NOT EXISTS claims_by_owner ON claims (owner)"


def select(table: str) -> str:
    """The query for all rows of a table; a condition may follow."""
    return f"SELECT {', '.join(COLUMNS[table])} FROM {table}"  # noqa: S608


def insert(table: str, columns: Sequence[str] = ()) -> str:
    """The statement that adds rows of `columns`, else of all; what is under the same key stays."""
    names = columns or COLUMNS[table]
    values = ", ".join("?" * len(names))
    return f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values}) ON CONFLICT DO NOTHING"  # noqa: S608


class Database(ABC):
    """One connection to the store's tables; "?" stands for each value in the SQL.

    Each method raises UserError, in one sentence with advice, for what the database or its disk refuses. Two
    threads may use one in turn, never at once.
    """

    clock: ClassVar[str]  # SQL: the seconds since 1970 by the clock that all who share the store go by
    place: StorePlace

    @abstractmethod
    def stream(self, query: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        """The rows of a query, however many; nothing else may use the connection until the last is read."""

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        return list(self.stream(query, values))

    def rows_for(self, query: str, keys: Iterable[str]) -> Iterator[Row]:
        """The rows of a query that ends with IN, for so many keys."""
        wanted = list(keys)
        for start in range(0, len(wanted), _CHUNK):
            chunk = wanted[start : start + _CHUNK]
            yield from self.rows(f"{query} ({','.join('?' * len(chunk))})", chunk)

    @abstractmethod
    def write(self, *changes: Change) -> int:
        """Run each statement with each of its rows; all of it is on disk afterwards, or nothing.

        Returns how many rows of tables changed. It may be run twice if the connection is lost: what is written
        must have the same effect the second time.
        """

    @abstractmethod
    def put(self, statement: str, *values: Any) -> None:
        """Take a change, which is on disk after the next `commit`: one wait for the disk serves many.

        Equal statements run together, in the order in which the first of each came.
        """

    @abstractmethod
    def commit(self) -> None:
        """Write the taken changes to disk, all or nothing."""

    @abstractmethod
    def lock(self) -> AbstractContextManager[None]:
        """Wait until no other process is in such a block of this store."""

    @abstractmethod
    def size(self) -> int:
        """The store's bytes on disk."""

    @abstractmethod
    def shrink(self) -> None:
        """Give back the space of deleted rows, if the database does not do so by itself."""

    @abstractmethod
    def close(self) -> None:
        """Close the connection."""
