"""The one SQLite file behind the verdict store and the list of open batches: its tables, versions and failures."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.errors import UserError

_VERSION = 3  # 1 had no column `refused`, 2 no batches
_TABLES = (
    """
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
""",
    """
CREATE TABLE IF NOT EXISTS batches (
    id TEXT PRIMARY KEY,
    base_url TEXT NOT NULL,
    judge TEXT NOT NULL,
    refused TEXT NOT NULL,
    file TEXT NOT NULL DEFAULT '',
    remote TEXT NOT NULL DEFAULT '',
    planned TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
""",
    """
CREATE TABLE IF NOT EXISTS batch_votes (
    batch TEXT NOT NULL REFERENCES batches (id),
    request INTEGER NOT NULL,
    place INTEGER NOT NULL,
    key TEXT NOT NULL,
    PRIMARY KEY (batch, request, place)
) WITHOUT ROWID
""",
)
_BUSY_TIMEOUT = 60.0  # seconds that a process waits for another one's write


def open_database(path: Path) -> sqlite3.Connection:
    """The file with its tables up to date; it is made when it is not there. Raises as `explained` says."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        # The client's thread writes while the caller's thread waits; never two at once.
        database = sqlite3.connect(path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False)
        try:
            _prepare(database, path)
        except BaseException:
            database.close()
            raise
    return database


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one sentence (UserError)."""
    try:
        yield
    except (sqlite3.Error, OSError) as error:
        raise UserError(
            f"The verdict store {path} cannot be used ({error}): free space, mend its permissions, "
            "or name another folder with SKILLMIX_HOME; verdicts already in it are kept."
        ) from error


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """All that is written inside is on disk afterwards, or nothing of it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:
            database.execute("ROLLBACK")
        raise


def _prepare(database: sqlite3.Connection, path: Path) -> None:
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")  # a reply is paid for: it must survive a power cut
    [version] = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise UserError(
            f"The verdict store {path} was written by a newer version of this package: "
            "install that version, or name another folder with SKILLMIX_HOME."
        )
    if version < _VERSION:
        _migrate(database)


def _migrate(database: sqlite3.Connection) -> None:
    """Make the tables of a new file, or bring those of an older version up to date."""
    with transaction(database):
        for table in _TABLES:
            database.execute(table)
        columns = {row[1] for row in database.execute("PRAGMA table_info(replies)")}
        if "refused" not in columns:
            database.execute("ALTER TABLE replies ADD COLUMN refused TEXT NOT NULL DEFAULT ''")
        database.execute(f"PRAGMA user_version={_VERSION}")
