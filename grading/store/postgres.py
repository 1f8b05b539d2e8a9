"""The store in a PostgreSQL database, which several machines may use at once."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, ClassVar, TypeVar

import psycopg
from psycopg import errors
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from tenacity import RetryCallState, Retrying, retry_if_exception, stop_after_delay, wait_random

from grading.errors import UserError
from grading.home import STORE, Server
from grading.store.database import PATIENCE, TABLES, VERSION, Change, Database, Row, create

_LOCKS = "skillmix"  # PostgreSQL's advisory locks are numbers: this word's hash, and one of these
_WRITING, _SENDING = 1, 2
_LOOK = 0.2  # seconds between two tries for a lock that may be held for minutes
_OPTIONS: dict[str, Any] = {
    "fallback_application_name": "skillmix",
    "client_encoding": "UTF8",
    "connect_timeout": 10,
    # A lost machine is noticed after a minute.
    "keepalives_idle": 30,
    "keepalives_interval": 10,
    "keepalives_count": 3,
}
# PostgreSQL's texts cannot hold NUL, which a reply may.
_ESCAPE, _NUL = "\ue000", "\ue001"
_ESCAPED = re.compile(f"{_ESCAPE}(.)", re.DOTALL)
_ADVICE: dict[type[psycopg.Error] | str, str] = {  # by the class of an error, or by its words
    errors.DiskFull: "free space on the server, then type the same command again",
    errors.OutOfMemory: "free space on the server, then type the same command again",
    errors.ReadOnlySqlTransaction: "the server takes no writes, as a standby does: name the one that does in "
    f"{STORE}",
    errors.InsufficientPrivilege: "make its user the owner of the database, with `ALTER DATABASE NAME OWNER TO "
    "USER`",
    errors.LockNotAvailable: "another process holds it: wait for its end, and type the same command again",
    "too many|connection slots": "each run holds two connections or more: run fewer at once, or raise the "
    "server's max_connections",
    "password|authentication|pg_hba|role ": f"fix the user in {STORE}, or the password in PGPASSWORD or ~/.pgpass",
    "database .* does not exist": f"make the database with `createdb`, or name another one in {STORE}",
}
_Found = TypeVar("_Found")

logger = logging.getLogger(__name__)
logging.getLogger("psycopg").setLevel(logging.ERROR)  # its warnings repeat, in words of its own, what is raised


class PostgresDatabase(Database):
    """See Database. A lost connection is opened again; one process writes at a time, as with SQLite."""

    clock: ClassVar[str] = "extract(epoch FROM clock_timestamp())"

    def __init__(self, place: Server) -> None:
        self.place = self._server = place
        self._locked = False
        self._put: dict[str, list[Sequence[Any]]] = {}  # rows that wait for a commit, by statement
        with self._explained():
            self._connection = _connect(place)
            try:
                self._prepare()
            except BaseException:
                self._connection.close()
                raise

    def stream(self, query: str, values: Sequence[Any] = ()) -> Iterator[Row]:
        with self._explained(), self._connection.cursor() as cursor:
            for row in cursor.stream(_sql(query), _escaped(values)):
                yield _plain(row)

    def rows(self, query: str, values: Sequence[Any] = ()) -> list[Row]:
        found = self._run(lambda connection: connection.execute(_sql(query), _escaped(values)).fetchall())
        return [_plain(row) for row in found]

    def write(self, *changes: Change) -> int:
        ready = [(_sql(statement), [_escaped(row) for row in rows]) for statement, rows in changes if rows]

        def work(connection: psycopg.Connection) -> int:
            cursors = []
            # In one journey to the server and back. Two writers at once could wait for each other's rows.
            with connection.pipeline(), connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", (_LOCKS, _WRITING))
                for statement, rows in ready:
                    cursors.append(connection.cursor())
                    cursors[-1].executemany(statement, rows)
            return sum(cursor.rowcount for cursor in cursors)

        return self._run(work)

    def put(self, statement: str, *values: Any) -> None:
        self._put.setdefault(statement, []).append(values)

    def commit(self) -> None:
        """See Database. Unwritten changes wait for the next commit."""
        if self._put:
            self.write(*self._put.items())
            self._put.clear()

    @contextmanager
    def lock(self) -> Iterator[None]:
        """See Database. If the connection is lost inside, the block cannot write: others may be in one by then."""
        mine = (_LOCKS, _SENDING)
        while not self.rows("SELECT pg_try_advisory_lock(hashtext(?), ?)", mine)[0][0]:
            time.sleep(_LOOK)
        self._locked = True
        try:
            yield
        finally:
            self._locked = False
            if not self._connection.closed:
                self.rows("SELECT pg_advisory_unlock(hashtext(?), ?)", mine)

    def size(self) -> int:
        sizes = " + ".join(["pg_total_relation_size(to_regclass(?))"] * len(TABLES))
        return int(self.rows(f"SELECT {sizes}", tuple(TABLES))[0][0])

    def shrink(self) -> None:
        """PostgreSQL's autovacuum does it."""

    def close(self) -> None:
        self._connection.close()

    def _run(self, work: Callable[[psycopg.Connection], _Found]) -> _Found:
        """Run `work`, and repeat it for up to a minute while the connection to the server is lost."""

        def attempt() -> _Found:
            if self._connection.closed and not self._locked:
                self._connection = _connect(self._server)
            return work(self._connection)

        def is_lost(error: BaseException) -> bool:
            return isinstance(error, psycopg.Error) and self._connection.closed and not self._locked

        def say(state: RetryCallState) -> None:
            if state.attempt_number == 1 and state.outcome:
                logger.warning(
                    "The connection to the verdict store %s is lost (%s): it is opened again, for up to %.0f s.",
                    self.place,
                    _said(state.outcome.exception()),
                    PATIENCE,
                )

        with self._explained():
            return Retrying(
                retry=retry_if_exception(is_lost),
                stop=stop_after_delay(PATIENCE),
                wait=wait_random(0.1, 1.0),
                before_sleep=say,
                reraise=True,
            )(attempt)

    @contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what PostgreSQL and its driver raise into one sentence (UserError), with the advice that fits."""
        try:
            yield
        except psycopg.Error as error:
            raise UserError(
                f"The verdict store {self.place} cannot be used ({_said(error)}): {_advice(error)}; verdicts "
                "already in it are kept."
            ) from error

    def _prepare(self) -> None:
        """Make the missing tables."""
        connection = self._connection
        [(encoding, ours, replies)] = connection.execute(
            "SELECT current_setting('server_encoding'), to_regclass('skillmix_store'), to_regclass('replies')"
        )
        if encoding != "UTF8":
            raise UserError(
                f"The database of the verdict store {self.place} is encoded in {encoding}: make one with "
                "`createdb --encoding UTF8 --template template0 DATABASE`, and name it in SKILLMIX_STORE."
            )
        if ours is None:
            if replies is not None:
                raise UserError(
                    f"The verdict store {self.place} is the database of another program: make one of its own with "
                    "`createdb DATABASE`, and name it in SKILLMIX_STORE."
                )
            with connection.transaction():
                connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s), %s)", (_LOCKS, _WRITING))
                now = "to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS')"
                for statement in create(f"({now})"):
                    connection.execute(statement.encode())
                connection.execute("CREATE TABLE IF NOT EXISTS skillmix_store (version INTEGER PRIMARY KEY)")
                connection.execute("INSERT INTO skillmix_store VALUES (%s) ON CONFLICT DO NOTHING", (VERSION,))
        [(version,)] = connection.execute("SELECT MAX(version) FROM skillmix_store")
        if version > VERSION:
            raise UserError(
                f"The verdict store {self.place} was written by a newer version of this package: install that "
                "version, or name another database with SKILLMIX_STORE."
            )


def _connect(place: Server) -> psycopg.Connection:
    try:
        given = conninfo_to_dict(place.address)
    except psycopg.ProgrammingError:  # whose words may be a part of the address
        raise UserError(
            f"The parameters of the address in {STORE} are unknown to PostgreSQL: remove the part after the "
            f"question mark in {place}?..., or type it as `psql` takes it."
        ) from None
    connection = psycopg.connect(make_conninfo("", **(_OPTIONS | given)), autocommit=True)
    # A writer whose machine stands still must not hold up the others for as long as they wait.
    for name, seconds in (("lock_timeout", PATIENCE), ("idle_in_transaction_session_timeout", PATIENCE / 4)):
        connection.execute("SELECT set_config(%s, %s, false)", (name, f"{seconds * 1000:.0f}ms"))
    return connection


def _said(error: BaseException | None) -> str:
    return " ".join(str(error).split())


def _advice(error: psycopg.Error) -> str:
    # An error that refuses the connection has no code, only words.
    for sign, advice in _ADVICE.items():
        if re.search(sign, str(error)) if isinstance(sign, str) else isinstance(error, sign):
            return advice
    return f"check that the server runs and that {STORE} names it"


@lru_cache(maxsize=128)
def _sql(text: str) -> bytes:
    return text.replace("?", "%s").encode()


def _escaped(values: Sequence[Any]) -> list[Any]:
    return [
        value.replace(_ESCAPE, 2 * _ESCAPE).replace("\0", _ESCAPE + _NUL)
        if isinstance(value, str) and ("\0" in value or _ESCAPE in value)
        else value
        for value in values
    ]


def _plain(row: Row) -> Row:
    return tuple(
        _ESCAPED.sub(lambda code: "\0" if code[1] == _NUL else code[1], value)
        if isinstance(value, str) and _ESCAPE in value
        else value
        for value in row
    )
