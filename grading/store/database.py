"""The one SQLite file behind the verdict store and the list of open batches: its tables, versions and failures."""

from __future__ import annotations

import errno
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from grading.errors import UserError

_VERSION = 4  # 1 had no column `refused`, 2 no batches, 3 no claims and failures
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
    """
CREATE TABLE IF NOT EXISTS claims (
    key TEXT PRIMARY KEY,
    owner TEXT NOT NULL,
    expires REAL NOT NULL
) WITHOUT ROWID
""",
    "CREATE INDEX IF NOT EXISTS claims_by_owner ON claims (owner)",
    """
CREATE TABLE IF NOT EXISTS failures (
    key TEXT PRIMARY KEY,
    judge TEXT NOT NULL,
    cause TEXT NOT NULL,
    status INTEGER,
    words TEXT NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
""",
)
_BUSY_TIMEOUT = 60.0  # seconds that a process waits for another one's write


def open_database(path: Path) -> sqlite3.Connection:
    """The file with its tables up to date; it is made when it is not there. Raises as `explained` says."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a file")
        database = connect(path)
        try:
            # SQLite's own timeout does not hold while a file changes to its write-ahead log, or leaves it.
            for attempt in Retrying(
                retry=retry_if_exception(lambda error: _code(error) == sqlite3.SQLITE_BUSY),
                stop=stop_after_delay(_BUSY_TIMEOUT),
                wait=wait_random(0.005, 0.05),
                reraise=True,
            ):
                with attempt:
                    _prepare(database, path)
        except BaseException:
            database.close()
            raise
    return database


def connect(path: Path | str) -> sqlite3.Connection:
    """The file as it is, by its path or URI; bytes in a text that are not UTF-8 are read as lone surrogates."""
    # The client's thread writes while the caller's thread waits; never two at once.
    database = sqlite3.connect(
        path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False, uri=isinstance(path, str)
    )
    database.text_factory = lambda text: text.decode(errors="surrogateescape")
    return database


@contextmanager
def explained(path: Path) -> Iterator[None]:
    """Turn what SQLite and the file system raise into one sentence (UserError), with the advice that fits it."""
    try:
        yield
    except (sqlite3.Error, OSError, NotImplementedError) as error:
        raise UserError(
            f"The verdict store {path} {'is damaged' if is_damage(error) else 'cannot be used'} ({error}): "
            f"{_advice(error, path)}; verdicts already in it are kept."
        ) from error


def is_damage(error: BaseException) -> bool:
    """Whether the file's content is what is wrong."""
    if not isinstance(error, sqlite3.Error):
        return False
    # Tables or columns that are missing give the general code.
    return _code(error) in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR)


def _code(error: BaseException) -> int | None:
    """SQLite's primary code of an error, without what it says more closely."""
    code = getattr(error, "sqlite_errorcode", None)
    return None if code is None else code & 0xFF


def _advice(error: BaseException, path: Path) -> str:
    code = _code(error)
    cause = getattr(error, "errno", None)
    if is_damage(error):
        return f"type `skillmix store repair --file {path}` to copy all that can be read into a new one"
    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
        return "another process holds it: wait for its end, or end it, and type the same command again"
    if code == sqlite3.SQLITE_FULL or cause in (errno.ENOSPC, errno.EDQUOT):
        return "free space on its disk, or name a folder on another one with SKILLMIX_HOME"
    if code in (sqlite3.SQLITE_IOERR, sqlite3.SQLITE_PROTOCOL, sqlite3.SQLITE_NOLFS) or cause in (
        errno.ENOLCK,
        errno.ENOSYS,
        errno.EIO,
        errno.ESTALE,
    ):
        return (
            "its disk fails, does not let the file grow, or is a network's and cannot lock: free space on it, or "
            "name a folder on a local disk with SKILLMIX_HOME"
        )
    if code in (sqlite3.SQLITE_READONLY, sqlite3.SQLITE_PERM, sqlite3.SQLITE_CANTOPEN, sqlite3.SQLITE_AUTH) or (
        cause in (errno.EACCES, errno.EPERM, errno.EROFS)
    ):
        return "fix the permissions of the file and its folder, or name another folder with SKILLMIX_HOME"
    return "name another folder with SKILLMIX_HOME"


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
    # Nothing is changed before it is known whose file it is.
    [version] = database.execute("PRAGMA user_version").fetchone()
    if version > _VERSION:
        raise UserError(
            f"The verdict store {path} was written by a newer version of this package: "
            "install that version, or name another folder with SKILLMIX_HOME."
        )
    if version < _VERSION:
        tables = {name for [name] in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "replies" not in tables:
            raise UserError(f"{path} is the database of another program: name a verdict store.")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")  # a reply is paid for: it must survive a power cut
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
