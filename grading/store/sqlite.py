"""The store as one SQLite file in WAL mode, which several processes of one machine may use at once."""

from __future__ import annotations

import errno
import logging
import re
import shutil
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, ClassVar

from filelock import FileLock
from tenacity import Retrying, retry_if_exception, stop_after_delay, wait_random

from grading.errors import UserError
from grading.home import STORE
from grading.store.database import PATIENCE, VERSION, Change, Database, Row, create

_MOUNTS = Path("/proc/self/mountinfo")
# File systems that several machines share; FUSE's are "fuse.NAME".
_NETWORK = re.compile(
    r"nfs\d?|cifs|smb\w*|ncpfs|afs|coda|lustre|beegfs|fhgfs|gpfs|panfs|pvfs2|orangefs|wekafs|ceph|glusterfs|gfs2?|"
    r"ocfs2|fuse\.(?:sshfs|ceph|ceph-fuse|glusterfs|beegfs|orangefs|s3fs|gcsfuse|blobfuse2?|goofys|mount-s3|rclone|"
    r"juicefs\w*|JuiceFS\w*|seaweedfs|mfs|moosefs|lizardfs|quobyte|smbnetfs|davfs\d?)|davfs\d?"
)

logger = logging.getLogger(__name__)


class SqliteDatabase(Database):
    """See Database."""

    # Of this machine, as SQLite reads it.
    clock: ClassVar[str] = "((julianday('now') - 2440587.5) * 86400.0)"

    def __init__(self, path: Path) -> None:
        self.place = self._path = path
        self._connection = open_file(path)

    def stream(self, query: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        with explained(self._path):
            yield from self._connection.execute(query, values)

    def write(self, *changes: Change) -> int:
        with explained(self._path), transaction(self._connection):
            return sum(
                self._connection.executemany(statement, rows).rowcount for statement, rows in changes if rows
            )

    def put(self, statement: str, *values: Any) -> None:
        """See Database.

        It runs at once, in the caller's thread: one that waits for the disk beside a busy thread would wait for
        Python's lock after each statement.
        """
        with explained(self._path):
            if not self._connection.in_transaction:
                self._connection.execute("BEGIN IMMEDIATE")
            self._connection.execute(statement, values)

    def commit(self) -> None:
        with explained(self._path):
            if self._connection.in_transaction:
                self._connection.execute("COMMIT")

    @contextmanager
    def lock(self) -> Iterator[None]:
        with explained(self._path):
            lock = FileLock(self._path.with_name(f"{self._path.name}-batches.lock")).acquire()
        with lock:
            yield

    def size(self) -> int:
        """See Database; the write-ahead log is part of it."""
        files = (self._path, self._path.with_name(f"{self._path.name}-wal"))
        return sum(file.stat().st_size for file in files if file.exists())

    def shrink(self) -> None:
        with explained(self._path):
            try:
                self._connection.execute("VACUUM")
                self._connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            except sqlite3.OperationalError as error:
                # It needs a moment in which no other process works, and space for a copy.
                logger.warning("The replies are deleted, but %s does not shrink yet (%s).", self._path, error)

    def close(self) -> None:
        self._connection.close()


def open_file(path: Path) -> sqlite3.Connection:
    """The file with its tables up to date; it is made when it is not there. Raises as `explained` says."""
    with explained(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        _refuse_network(path)
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is not a file")
        database = connect(path)
        try:
            # SQLite's own timeout does not hold while a file changes to its write-ahead log, or leaves it.
            for attempt in Retrying(
                retry=retry_if_exception(lambda error: _code(error) == sqlite3.SQLITE_BUSY),
                stop=stop_after_delay(PATIENCE),
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
        path, timeout=PATIENCE, isolation_level=None, check_same_thread=False, uri=isinstance(path, str)
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
    if version > VERSION:
        raise UserError(
            f"The verdict store {path} was written by a newer version of this package: "
            "install that version, or name another folder with SKILLMIX_HOME."
        )
    if version < VERSION:
        tables = {name for [name] in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}
        if tables and "replies" not in tables:
            raise UserError(f"{path} is the database of another program: name a verdict store.")
    database.execute("PRAGMA journal_mode=WAL")
    database.execute("PRAGMA synchronous=FULL")  # a reply is paid for: it must survive a power cut
    if version < VERSION:
        _migrate(database)


def _migrate(database: sqlite3.Connection) -> None:
    """Make the tables of a new file, or bring those of an older version up to date."""
    with transaction(database):
        for statement in create("CURRENT_TIMESTAMP", "WITHOUT ROWID"):
            database.execute(statement)
        columns = {row[1] for row in database.execute("PRAGMA table_info(replies)")}
        if "refused" not in columns:
            database.execute("ALTER TABLE replies ADD COLUMN refused TEXT NOT NULL DEFAULT ''")
        database.execute(f"PRAGMA user_version={VERSION}")


def copy_with_log(path: Path, copy: Path) -> None:
    """Copy the file and its write-ahead log as they are."""
    shutil.copyfile(path, copy)
    with suppress(FileNotFoundError):
        shutil.copyfile(path.with_name(f"{path.name}-wal"), copy.with_name(f"{copy.name}-wal"))


def network_file_system(path: Path, mounts: str) -> str | None:
    """The kind of network file system that holds `path`, by the text of /proc/self/mountinfo; None if local."""
    found, depth = "", -1
    for line in mounts.splitlines():
        left, _, right = line.partition(" - ")
        fields, kind = left.split(), right.partition(" ")[0]
        if len(fields) > 4:  # of two mounts at one place the later one is seen
            point = Path(re.sub(r"\\([0-7]{3})", lambda code: chr(int(code[1], 8)), fields[4]))
            if len(point.parts) >= depth and path.is_relative_to(point):
                found, depth = kind, len(point.parts)
    return found if _NETWORK.fullmatch(found) else None


def on_network(path: Path) -> str | None:
    """The kind of network file system that holds `path`, if it does and this system says so."""
    return network_file_system(path.resolve(), _MOUNTS.read_text(errors="replace")) if _MOUNTS.exists() else None


def _refuse_network(path: Path) -> None:
    """Raise UserError if machines may share the file: SQLite's log needs memory that all its processes share."""
    if kind := on_network(path):
        bring = f"; `skillmix store copy --from {path}` then brings its verdicts there" if path.exists() else ""
        raise UserError(
            f"The verdict store {path} is on a network file system ({kind}), where SQLite can damage it: type "
            f"`export {STORE}=postgresql://USER@HOST/DATABASE` to keep it in PostgreSQL{bring}. For one machine "
            "alone, name a folder on a local disk with SKILLMIX_HOME."
        )
