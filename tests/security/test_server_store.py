"""The store on a PostgreSQL server: its address stays secret, and each fault is one sentence."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

import psycopg
import pytest

from grading import State, UserError
from grading.backend import Reply
from grading.home import Server, named_store, verdict_store
from grading.keys import redact
from grading.store import postgres as module
from grading.store.batches import BatchStore
from grading.store.replies import VerdictStore
from tests.servers.postgres import LOCKED, PASSWORD, PostgresServer

REPLY = Reply(State.GRADED, "x")


def write(place: Server, key: str = "k") -> None:
    store = VerdictStore(place)
    try:
        store.write(key, "judge", REPLY)
    finally:
        store.close()


# -- the address


@pytest.mark.parametrize(
    ("address", "shown"),
    [
        ("postgresql://ann:p4ssw0rd-x@db.example.org:5432/mix", "postgresql://db.example.org:5432/mix"),
        ("postgres://db/mix?password=p4ssw0rd-x&sslmode=require", "postgresql://db/mix"),
        ("postgresql://ann:p4ssw0rd%2Dx@[::1]:5432/mix", "postgresql://[::1]:5432/mix"),
        ("postgresql://ann:p4:ssw0rd-x@%2Frun%2Fpg/mix", "postgresql://%2Frun%2Fpg/mix"),
        ("postgresql://ann:p4ssw0rd-x@a:1,b:2/mix", "postgresql://a:1,b:2/mix"),
        ("postgresql:///mix", "postgresql:///mix"),
        ("postgresql://", "postgresql://"),
    ],
)
def test_an_address_is_shown_without_its_secrets(address: str, shown: str):
    place = Server(address)
    assert f"{place}" == str(place) == shown
    assert "p4" not in repr(place)
    assert redact("It says p4ssw0rd-x.") == "It says [key]." or "p4ssw0rd-x" not in address


@pytest.mark.parametrize(
    "address",
    [
        "postgresql://ann:p4ss@w0rd@db/mix",
        "postgresql://ann:p4/ss@db/mix",
        "postgresql://ann:p4?ss@db/mix",
        "postgresql://ann:p4#ss@db/mix",
        "postgresql://ann:p4%ss@db/mix",
        "postgresql://ann:p4 ss@db/mix",
        "postgresql://ann:p4ss",
        "postgresql://db/mix?password=p4@ss",
        "mysql://ann:p4ss@db/mix",
        "postgresql://ann:p4ss@[1.2]/mix",
        "postgresql://a[nn:p4ss@db/mix",
        "host=db password=p4ss",
        "/home/ann/p4ss",
    ],
)
def test_an_address_of_another_form_is_refused_unseen(address: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKILLMIX_STORE", address)
    with pytest.raises(UserError, match="does not have the form") as caught:
        VerdictStore(verdict_store())
    assert "p4" not in str(caught.value)
    assert "ss@" not in str(caught.value)


@pytest.mark.parametrize("query", ["p4ss=word", "password", "a=b=p4ss"])
def test_parameters_that_the_driver_refuses_are_not_shown(query: str):
    with pytest.raises(UserError) as caught:
        VerdictStore(Server(f"postgresql://127.0.0.1:1/mix?{query}"))
    assert "p4ss" not in str(caught.value)
    assert caught.value.__cause__ is None or "p4ss" not in str(caught.value.__cause__)


@pytest.mark.parametrize("address", ["postgresql://ann:p4ss@db/mix", "postgresql://db/mix?password=p4ss"])
def test_a_password_in_an_option_is_refused(address: str):
    with pytest.raises(UserError, match="PGPASSWORD") as caught:
        named_store(address)
    assert "p4ss" not in str(caught.value)


def test_a_password_of_the_environment_is_a_key(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("PGPASSWORD", "of-eight")
    assert redact("It says of-eight.") == "It says [key]."


@pytest.mark.slow
@pytest.mark.parametrize("way", ["address", "PGPASSWORD", "pgpass"])
def test_a_password_comes_in_three_ways_and_is_in_no_error(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, way: str
):
    monkeypatch.setenv("PGPASSFILE", str(tmp_path / "pgpass"))

    def give(password: str) -> Server:
        if way == "PGPASSWORD":
            monkeypatch.setenv("PGPASSWORD", password)
        if way == "pgpass":
            (tmp_path / "pgpass").write_text(f"127.0.0.1:{postgres.port}:*:{LOCKED}:{password}\n")
            (tmp_path / "pgpass").chmod(0o600)
        return Server(postgres.address(f"{LOCKED}:{password}" if way == "address" else LOCKED))

    for password in ("wr0ng", PASSWORD):
        with pytest.raises(UserError) as caught:
            write(give(password))
        assert password not in str(caught.value)
        assert password not in str(caught.value.__cause__)
        said = "fix the user" if password == "wr0ng" else "owner of the database"  # it has no right to make tables
        assert said in str(caught.value)


# -- faults


def _nobody_listens(server: PostgresServer) -> Server:
    return Server("postgresql://127.0.0.1:1/mix")


def _unknown_host(server: PostgresServer) -> Server:
    return Server("postgresql://nowhere.invalid/mix")


def _unknown_database(server: PostgresServer) -> Server:
    return Server(server.address(database="nothing"))


def _unknown_user(server: PostgresServer) -> Server:
    return Server(server.address("nobody"))


def _wrong_password(server: PostgresServer) -> Server:
    return Server(server.address(f"{LOCKED}:wrong"))


def _no_right(server: PostgresServer) -> Server:
    return Server(server.address(f"{LOCKED}:{PASSWORD}"))


def _too_many(server: PostgresServer) -> Server:
    server.sql("DROP ROLE IF EXISTS busy")
    server.sql("CREATE ROLE busy LOGIN CONNECTION LIMIT 0")
    return Server(server.address("busy"))


def _read_only(server: PostgresServer) -> Server:
    place = server.new_store()
    write(place)
    return Server(f"{place.address}%20-cdefault_transaction_read_only%3Don")


def _other_program(server: PostgresServer) -> Server:
    place = server.new_store()
    with psycopg.connect(place.address) as connection:
        connection.execute("CREATE TABLE replies (post INTEGER)")
    return place


def _newer(server: PostgresServer) -> Server:
    place = server.new_store()
    write(place)
    with psycopg.connect(place.address) as connection:
        connection.execute("UPDATE skillmix_store SET version = 99")
    return place


def _other_encoding(server: PostgresServer) -> Server:
    server.sql("DROP DATABASE IF EXISTS latin")
    server.sql("CREATE DATABASE latin ENCODING 'LATIN1' TEMPLATE template0")
    return Server(server.address(database="latin"))


def _no_schema(server: PostgresServer) -> Server:
    return Server(server.address(options="?options=-csearch_path%3Dnowhere"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("fault", "name", "advice"),
    [
        (_nobody_listens, "refused", "check that the server runs"),
        (_unknown_host, "nowhere.invalid", "check that the server runs"),
        (_unknown_database, 'database "nothing" does not exist', "createdb"),
        (_unknown_user, 'role "nobody" does not exist', "fix the user"),
        (_wrong_password, "password authentication failed", "PGPASSWORD or ~/.pgpass"),
        (_no_right, "permission denied", "ALTER DATABASE"),
        (_too_many, "too many connections", "max_connections"),
        (_read_only, "read-only transaction", "takes no writes"),
        (_other_program, "another program", "createdb"),
        (_newer, "newer version", "install that version"),
        (_other_encoding, "encoded in LATIN1", "createdb --encoding UTF8"),
        (_no_schema, "no schema", "SKILLMIX_STORE"),
    ],
)
def test_each_fault_is_one_sentence(
    postgres: PostgresServer, fault: Callable[[PostgresServer], Server], name: str, advice: str
):
    place = fault(postgres)
    with pytest.raises(UserError) as caught:
        write(place, "l")
    message = str(caught.value)
    assert name in message
    assert advice in message
    assert "\n" not in message
    assert message.startswith(
        ("The verdict store postgresql://", "The database of the verdict store postgresql://")
    )
    assert LOCKED not in message.partition("(")[0]


@pytest.fixture
def tiny(postgres: PostgresServer) -> Iterator[Server]:
    """A store on a disk of 2 MB."""
    folder = postgres.folder / "tiny"
    folder.mkdir()
    options = f"size=2m,uid={postgres.folder.stat().st_uid},mode=700"
    command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
    if os.geteuid() != 0 or subprocess.run(command, capture_output=True, check=False).returncode:
        folder.rmdir()
        pytest.skip("needs the right to mount a file system")
    postgres.sql(f"CREATE TABLESPACE tiny LOCATION '{folder}'")
    place = postgres.new_store("%20-cdefault_tablespace%3Dtiny")
    yield place
    [schema] = re.findall("store_[0-9a-f]+", place.address)
    postgres.sql(f"DROP SCHEMA {schema} CASCADE")
    postgres.sql("DROP TABLESPACE tiny")
    subprocess.run(["umount", folder], check=True)
    folder.rmdir()


@pytest.mark.slow
def test_a_full_disk_is_one_sentence_and_loses_nothing(tiny: Server):
    store = VerdictStore(tiny)
    written = []
    with pytest.raises(UserError, match=r"cannot be used \(.*No space left.*\): free space on the server"):  # noqa: PT012
        for number in range(1000):
            store.write(str(number), "judge", Reply(State.GRADED, os.urandom(5000).hex()))
            written.append(str(number))
    assert len(written) > 10
    assert set(store.read(written)) == set(written)
    store.close()


def test_a_missing_driver_is_one_sentence(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delitem(sys.modules, "grading.store.postgres")
    monkeypatch.setitem(sys.modules, "psycopg", None)
    with pytest.raises(UserError, match=r"pip install \"skillmix-tasks\[postgres\]\""):
        VerdictStore(Server("postgresql://127.0.0.1:1/mix"))


# -- a connection that is lost


def _break_off(server: PostgresServer, place: Server) -> None:
    """End all connections of the store, as a network that fails would."""
    server.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'skillmix'")


@pytest.mark.slow
def test_a_lost_connection_is_opened_again(postgres: PostgresServer, caplog: pytest.LogCaptureFixture):
    place = postgres.new_store()
    store = VerdictStore(place)
    store.add("k", "judge", REPLY)
    _break_off(postgres, place)
    store.commit()
    _break_off(postgres, place)
    assert store.read(["k"]) == {"k": REPLY}
    assert caplog.text.count("it is opened again") == 2
    store.close()


@pytest.mark.slow
def test_a_server_that_stays_away_is_one_sentence(
    postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
):
    store = VerdictStore(postgres.new_store())
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    store.add("k", "judge", REPLY)
    postgres.stop()
    try:
        with pytest.raises(UserError, match="check that the server runs"):
            store.commit()
    finally:
        postgres.start()
    store.commit()  # what was not written is not forgotten
    assert store.read(["k"]) == {"k": REPLY}
    store.close()


@pytest.mark.slow
def test_a_batch_is_not_sent_after_its_lock_is_lost(postgres: PostgresServer):
    """Another process may be sending the same votes by then."""
    place = postgres.new_store()
    batches = BatchStore(place)
    with batches.sending():
        batch = batches.plan([["k"]], "http://judge", "judge", frozenset())
        _break_off(postgres, place)
        with pytest.raises(UserError, match="cannot be used"):
            batches.uploaded(batch, "file_1")
        with pytest.raises(UserError, match="cannot be used"):
            batches.uploaded(batch, "file_1")
    with batches.sending():
        batches.uploaded(batch, "file_1")
    assert [one.file for one in batches.open()] == ["file_1"]
    batches.close()


@pytest.mark.slow
def test_a_writer_that_stands_still_is_waited_for(postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch):
    place = postgres.new_store()
    monkeypatch.setattr(module, "PATIENCE", 1.0)
    store = VerdictStore(place)
    with psycopg.connect(place.address) as other:
        other.execute("SELECT pg_advisory_xact_lock(hashtext('skillmix'), 1)")
        with pytest.raises(UserError, match="another process holds it"):
            store.write("k", "judge", REPLY)
        timer = threading.Timer(0.3, other.rollback)
        timer.start()
        store.write("k", "judge", REPLY)
        timer.join()
    assert store.read(["k"]) == {"k": REPLY}
    store.close()
