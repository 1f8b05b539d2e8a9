"""A damaged verdict store: all that can be read of it is copied into a new one at its place.

Where SQLite cannot follow the tree of a table's pages, each page is read on its own: it is put, as a tree of one
page, at the place of the table's root in a copy of the file.
"""

from __future__ import annotations

import shutil
import sqlite3
import struct
import tempfile
from collections.abc import Sequence
from contextlib import closing, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from grading.errors import UserError
from grading.store.database import COLUMNS, insert, select
from grading.store.replies import intact_row, is_text
from grading.store.sqlite import connect, copy_with_log, explained, is_damage, open_file, transaction

_TABLES: Final = ("replies", "batches", "batch_votes")
_CREATED: Final = COLUMNS["replies"].index("created")
_NUMBERS: Final = frozenset({"request", "place"})
# Of SQLite's file format.
_PAGE: Final = 4096  # bytes; the default, which stores have
_PAGE_COUNT: Final = 28  # where the file's number of pages is
_LEAF, _INNER = 0x0A, 0x02  # a page's first byte


@dataclass(frozen=True)
class Repair:
    """The numbers of copied rows; `damaged` replies were left out.

    `incomplete` says that parts of the file could not be read at all. `old` is where the damaged file is now, or
    None if nothing was wrong with it and it stays.
    """

    votes: int
    batches: int
    damaged: int
    incomplete: bool
    old: Path | None


def repair_store(path: Path) -> Repair:
    """Put a new store with all that can be read of the one at `path` in its place, and set the old one aside.

    Raises UserError if another process uses it, or if it is not a verdict store.
    """
    try:
        open_file(path).close()  # which brings one of an older version up to date
    except UserError as error:
        if error.__cause__ is None or not is_damage(error.__cause__):
            raise
    with explained(path), tempfile.TemporaryDirectory(prefix=".repair-", dir=path.parent) as folder:
        _refuse_in_use(path)
        copy, new = Path(folder) / "copy.sqlite", Path(folder) / "new.sqlite"
        copy_with_log(path, copy)
        with closing(open_file(new)) as target:
            damaged, incomplete = _copy_rows(copy, target)
            if incomplete:
                damaged += _copy_page_by_page(copy, new, target)
            [votes] = target.execute("SELECT COUNT(*) FROM replies").fetchone()
            [batches] = target.execute("SELECT COUNT(*) FROM batches").fetchone()
        old = _exchanged(path, new) if damaged or incomplete else None
        return Repair(votes, batches, damaged, incomplete, old)


def _refuse_in_use(path: Path) -> None:
    """Raise sqlite3.OperationalError if another process has the store open."""
    with closing(connect(path)) as source:
        try:
            source.execute("PRAGMA busy_timeout=0")
            source.execute("PRAGMA locking_mode=EXCLUSIVE")
            source.execute("BEGIN EXCLUSIVE")
        except sqlite3.Error as error:
            if not is_damage(error):
                raise


def _copy_rows(copy: Path, target: sqlite3.Connection) -> tuple[int, bool]:
    """Copy the tables without a damaged page; how many replies are damaged, and whether there is such a page."""
    damaged, incomplete = 0, False
    with closing(connect(copy)) as source:
        for table in _TABLES:
            try:
                with transaction(target):
                    damaged += _copy(source, target, table)
            except sqlite3.Error as error:
                if not is_damage(error):
                    raise
                incomplete = True
    return damaged, incomplete


def _copy_page_by_page(copy: Path, new: Path, target: sqlite3.Connection) -> int:
    """Copy what each page holds that SQLite can read; how many replies are damaged."""
    damaged = 0
    target.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    _give_first_page(copy, new.read_bytes()[:_PAGE])
    roots = dict(target.execute("SELECT name, rootpage FROM sqlite_master WHERE rootpage > 0"))
    pages = copy.with_name("pages")
    shutil.copyfile(copy, pages)
    with pages.open("rb") as file, copy.open("r+b") as trees, transaction(target):
        while page := file.read(_PAGE):
            leaf = _as_leaf(page)
            if leaf is None:
                continue
            for root in roots.values():
                trees.seek((root - 1) * _PAGE)
                trees.write(leaf)
            trees.flush()
            with closing(connect(f"{copy.as_uri()}?immutable=1")) as source:
                for table in _TABLES:
                    with suppress(sqlite3.DatabaseError):
                        damaged += _copy(source, target, table)
    return damaged


def _give_first_page(copy: Path, page: bytes) -> None:
    """Write the first page of a new store, which says where the tables are, into `copy`, and its log as well."""
    pages = copy.stat().st_size // _PAGE
    with copy.open("r+b") as file:
        file.write(page[:_PAGE_COUNT] + pages.to_bytes(4, "big") + page[_PAGE_COUNT + 4 :])
    with suppress(sqlite3.DatabaseError), closing(connect(copy)) as database:
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def _as_leaf(page: bytes) -> bytes | None:
    """A page of a table as one without pages below it; None if it is not one."""
    if len(page) < _PAGE or page[0] not in (_LEAF, _INNER):
        return None
    if page[0] == _LEAF:
        return page
    # An inner page has the number of a page below in its head and before each row.
    [number] = struct.unpack_from(">H", page, 3)
    if 12 + 2 * number > _PAGE:
        return None
    places = [place + 4 for place in struct.unpack_from(f">{number}H", page, 12)]
    head = bytes([_LEAF]) + page[1:8] + struct.pack(f">{number}H", *(min(place, 0xFFFF) for place in places))
    return head + page[len(head) :]


def _copy(source: sqlite3.Connection, target: sqlite3.Connection, table: str) -> int:
    """Copy the sound rows of a table, and return how many replies are not."""
    damaged = 0
    for row in source.execute(select(table)):
        intact = intact_row(row) if table == "replies" else row if _is_sound(row, COLUMNS[table]) else None
        if intact is not None:
            target.execute(insert(table), intact)
        elif table == "replies" and row[_CREATED] is not None:  # else it is a shorter row, of another table
            damaged += 1
    return damaged


def _is_sound(row: Sequence[Any], columns: Sequence[str]) -> bool:
    return all(
        isinstance(value, int) if name in _NUMBERS else is_text(value)
        for name, value in zip(columns, row, strict=True)
    )


def _exchanged(path: Path, new: Path) -> Path:
    """The place of the old file; the new one replaces it."""
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
