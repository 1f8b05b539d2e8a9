"""`skillmix store copy`, and the other commands on a server."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import State, Usage, UserError
from grading.backend import Reply
from grading.failure import Cause, Failure
from grading.home import StorePlace
from grading.store import sqlite
from grading.store.batches import BatchStore
from grading.store.claims import Claims
from grading.store.cli import app
from grading.store.copying import Copied, copy_store
from grading.store.replies import VerdictStore
from grading.store.sqlite import network_file_system
from tests.servers.postgres import PostgresServer

NUMBER = 2100  # more than go in one transaction


def fill(place: StorePlace) -> None:
    """Replies, failures, a claim and two open batches, one of them of a kind that was lost."""
    store, batches, claims = VerdictStore(place), BatchStore(place), Claims(place)
    for number in range(NUMBER):
        reply = Reply(State.GRADED, f"text\0 {number}", "", Usage(10, number, 2), frozenset({"seed"}))
        store.add(f"{number:05}", f"judge-{number % 2}", reply)
    store.fail("failed", "judge-1", Failure(Cause.BUSY, 429, "slow down"))
    store.commit()
    batches.submitted(batches.plan([["b1", "b2"], ["b3"]], "http://judge", "judge-1", frozenset({"n"})), "batch_1")
    batches.plan([["b4"]], "http://judge", "judge-1", frozenset())
    claims.take(["claimed"])
    for one in (store, batches, claims):
        one.close()


def content(place: StorePlace) -> tuple[object, ...]:
    store, batches = VerdictStore(place), BatchStore(place)
    try:
        return list(store.records()), list(store.failures()), batches.open()
    finally:
        store.close()
        batches.close()


@pytest.mark.slow
def test_a_store_goes_to_a_server_and_back_unchanged(postgres: PostgresServer, tmp_path: Path):
    first, server, back = tmp_path / "first.sqlite", postgres.new_store(), tmp_path / "back.sqlite"
    fill(first)
    assert copy_store(first, server) == Copied(votes=NUMBER, known=0, damaged=0, failures=1, batches=2)
    assert copy_store(server, back) == Copied(votes=NUMBER, known=0, damaged=0, failures=1, batches=2)
    assert content(first) == content(server) == content(back)
    assert copy_store(first, server) == Copied(votes=0, known=NUMBER, damaged=0, failures=0, batches=0)
    claims = Claims(server)
    assert claims.take(["claimed"]) == {"claimed"}  # those of a run stay with it
    claims.close()


def test_what_the_target_has_stays(place: StorePlace, tmp_path: Path):
    source = tmp_path / "source.sqlite"
    store, other = VerdictStore(place), VerdictStore(source)
    store.write("a", "judge", Reply(State.GRADED, "mine"))
    store.fail("b", "judge", Failure(Cause.BUSY, 429, "slow down"))
    store.commit()
    other.write("a", "judge", Reply(State.GRADED, "another's"))
    other.write("b", "judge", Reply(State.GRADED, "new"))
    other.fail("a", "judge", Failure(Cause.BUSY, 429, "slow down"))
    other.commit()
    other._db.write(("INSERT INTO replies VALUES ('c', 'judge', 'perhaps', '', '', 0, 0, 0, '', '')", [()]))
    other.close()
    assert copy_store(source, place) == Copied(votes=1, known=1, damaged=1, failures=1, batches=0)
    assert {key: reply.text for key, reply in store.read("abc").items()} == {"a": "mine", "b": "new"}
    assert list(store.failures()) == []
    store.close()


# -- the command


@pytest.fixture
def call(monkeypatch: pytest.MonkeyPatch) -> Callable[..., str]:
    monkeypatch.setenv("COLUMNS", "200")

    def invoke(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, catch_exceptions=False).stdout

    return invoke


@pytest.mark.slow
def test_the_commands_serve_a_server(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., str]
):
    place, file, out = postgres.new_store(), tmp_path / "v.sqlite", tmp_path / "out.sqlite"
    fill(file)
    monkeypatch.setenv("SKILLMIX_STORE", place.address)
    said = call("copy", "--from", str(file))
    assert said == (
        f"Copied from {file} to {place}: 2,100 votes, 1 failed call and 2 open batches. Already there: 0 votes. "
        "Damaged and left out: 0 votes.\n"
    )
    summary = json.loads(call("stats", "--json"))
    assert (summary["file"], summary["votes"]) == (str(place), NUMBER)
    assert summary["bytes"] > 100_000
    assert sum(one["votes"] for one in summary["open_batches"]) == 4
    assert "2,100 votes" in call("stats")
    assert len(call("export").splitlines()) == NUMBER
    assert "1 call to judge-1 failed" in call("failures")
    assert call("prune", "--judge", "judge-0") == "Add --yes to delete 1,050 votes.\n"
    assert call("prune", "--judge", "judge-0", "--yes") == "Deleted 1,050 votes.\n"
    assert call("prune", "--batches", "--yes") == "Gave up 2 batches of 4 votes.\n"
    with pytest.raises(UserError, match="is not a file"):
        call("repair")
    assert json.loads(call("copy", "--to", str(out), "--json"))["votes"] == NUMBER / 2
    assert content(out) == content(place)
    assert "postgres@" not in said


def test_copy_names_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: Callable[..., str]):
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path))
    with pytest.raises(UserError, match="Name the other store"):
        call("copy")
    with pytest.raises(UserError, match="There is no verdict store"):
        call("copy", "--from", str(tmp_path / "nothing.sqlite"))
    VerdictStore(tmp_path / "verdicts.sqlite").close()
    with pytest.raises(UserError, match="into itself"):
        call("copy", "--from", str(tmp_path / ".." / tmp_path.name / "verdicts.sqlite"))


# -- network file systems

MOUNTS = r"""
22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:50 / /home rw shared:5 - nfs4 10.0.0.1:/home rw,vers=4.2
31 30 8:2 / /home/ann/local rw - xfs /dev/sdb rw
32 22 0:51 / /mnt/my\040share rw master:1 - cifs //server/share rw
33 22 0:52 / /scratch rw - lustre 10.0.0.2@tcp:/scratch rw
34 22 0:53 / /scratch rw - tmpfs tmpfs rw
35 22 0:54 / /mnt/remote rw - fuse.sshfs host: rw
36 22 0:55 / /mnt/archive rw - fuse.squashfuse archive rw
37 22 0:56 / /proj rw - gpfs proj rw
38 22 0:57 / /work rw - beegfs beegfs_nodev rw
an invalid line
"""


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/bob/.skillmix/verdicts.sqlite", "nfs4"),
        ("/home/ann/local/verdicts.sqlite", None),
        ("/home/ann/locality/verdicts.sqlite", "nfs4"),
        ("/homes/verdicts.sqlite", None),
        ("/mnt/my share/verdicts.sqlite", "cifs"),
        ("/scratch/verdicts.sqlite", None),  # where another file system hides it
        ("/mnt/remote/a/b/verdicts.sqlite", "fuse.sshfs"),
        ("/mnt/archive/verdicts.sqlite", None),
        ("/proj/verdicts.sqlite", "gpfs"),
        ("/work/verdicts.sqlite", "beegfs"),
        ("/verdicts.sqlite", None),
    ],
)
def test_network_file_systems_are_known(path: str, kind: str | None):
    assert network_file_system(Path(path), MOUNTS) == kind


def test_this_file_system_is_local(tmp_path: Path):
    assert sqlite.on_network(tmp_path) is None


def test_a_store_on_a_network_file_system_is_refused_and_can_be_copied(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    shared, local = tmp_path / "shared" / "verdicts.sqlite", tmp_path / "local.sqlite"
    fill(shared)
    before = shared.read_bytes()
    mounts = tmp_path / "mountinfo"
    mounts.write_text(f"1 0 8:1 / / rw - ext4 /dev/sda1 rw\n2 1 0:50 / {shared.parent} rw - nfs server:/ rw\n")
    monkeypatch.setattr(sqlite, "_MOUNTS", mounts)
    with pytest.raises(UserError) as caught:
        VerdictStore(shared)
    message = str(caught.value)
    assert "is on a network file system (nfs)" in message
    assert "`export SKILLMIX_STORE=postgresql://USER@HOST/DATABASE`" in message
    assert f"`skillmix store copy --from {shared}`" in message
    with pytest.raises(UserError, match="network file system") as caught:
        VerdictStore(shared.with_name("new.sqlite"))
    assert "store copy" not in str(caught.value)
    assert not shared.with_name("new.sqlite").exists()
    assert copy_store(shared, local).votes == NUMBER
    assert shared.read_bytes() == before
    assert len(list(VerdictStore(local).records())) == NUMBER
