"""A copy of one verdict store in another, from SQLite to PostgreSQL or back."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from grading.errors import UserError
from grading.home import StorePlace
from grading.store.database import insert, select
from grading.store.opening import open_database
from grading.store.replies import intact_row
from grading.store.sqlite import copy_with_log, on_network

_CHUNK = 1000  # rows in one transaction
_TABLES = ("replies", "batches", "batch_votes", "failures")


@dataclass(frozen=True)
class Copied:
    """How many votes, failed calls and open batches are new in the target; `known` votes were there before.

    `damaged` votes were left out.
    """

    votes: int
    known: int
    damaged: int
    failures: int
    batches: int


def copy_store(source: StorePlace, target: StorePlace) -> Copied:
    """Copy all but the claims, which belong to runs; what is under the same key in the target stays.

    The source keeps what it has, and may be in use; a file of an older version is brought up to date.
    """
    if source == target or (
        isinstance(source, Path) and isinstance(target, Path) and source.resolve() == target.resolve()
    ):
        raise UserError(f"{source} cannot be copied into itself: name another store with --from or --to.")
    with _readable(source) as place, closing(open_database(place)) as old, closing(open_database(target)) as new:
        found = dict.fromkeys(_TABLES, 0)
        read = damaged = 0
        batches: set[str] = set()
        for table in _TABLES:
            rows = old.stream(select(table))
            while chunk := list(islice(rows, _CHUNK)):
                if table == "replies":
                    intact = [row for row in map(intact_row, chunk) if row is not None]
                    read, damaged = read + len(intact), damaged + len(chunk) - len(intact)
                    chunk = intact
                elif table == "batches":
                    batches.update(row[0] for row in chunk)
                elif table == "batch_votes":  # one that was planned since then has none of its own there
                    chunk = [row for row in chunk if row[0] in batches]
                found[table] += new.write((insert(table), chunk))
        new.write(("DELETE FROM failures WHERE key IN (SELECT key FROM replies)", [()]))
    return Copied(found["replies"], read - found["replies"], damaged, found["failures"], found["batches"])


@contextmanager
def _readable(place: StorePlace) -> Iterator[StorePlace]:
    """The store itself, or a copy on a local disk of one that SQLite must not open where it is."""
    if not (isinstance(place, Path) and on_network(place)):
        yield place
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder, place.name)
        copy_with_log(place, copy)
        yield copy
