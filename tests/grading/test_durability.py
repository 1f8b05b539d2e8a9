"""The verdict store when the machine lets it down, and when its file is from an older version."""

from __future__ import annotations

import os
import random
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grading import Criterion, Grader, GradingRequest, State, Usage, UserError, resolve_judge
from grading.backend import Reply
from grading.store.batches import BatchStore
from grading.store.replies import VerdictStore
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
REQUESTS = [
    GradingRequest("Write about rain.", (Criterion("rain", "It is about rain."),), f"Rain number {number} fell.")
    for number in range(80)
]


def writer(*arguments: object) -> list[str]:
    return [sys.executable, "-m", "tests.grading.store_writer", *map(str, arguments)]


def check_whole(path: Path, keys: set[str]) -> set[str]:
    """The store is sound and holds `keys`, each with the reply that was written; return what else it holds."""
    with sqlite3.connect(path) as db:
        assert db.execute("PRAGMA integrity_check").fetchall() == [("ok",)]
        stored = {key for (key,) in db.execute("SELECT key FROM replies")}
    for key, reply in VerdictStore(path).read(stored).items():
        assert reply == Reply(State.GRADED, f"{key} " * 100, usage=Usage(10, int(key)))
    assert keys <= stored
    return stored - keys


def test_a_store_is_whole_after_kills_at_random_moments(tmp_path: Path):
    path = tmp_path / "verdicts.sqlite"
    moments = random.Random(4)
    told: set[str] = set()
    for round_ in range(8):
        process = subprocess.Popen(
            writer(path, round_ * 100_000, 100_000), cwd=ROOT, stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        try:
            told |= {process.stdout.readline().strip() for _ in range(moments.randrange(1, 400))}
            time.sleep(moments.random() / 50)
        finally:
            process.kill()
        told |= set(process.stdout.read().split())
        process.wait()
        assert len(check_whole(path, told)) <= round_ + 1  # one vote of each round may be on disk and not yet told
    assert len(told) > 500


def test_a_file_that_cannot_grow_ends_in_one_sentence_and_keeps_what_is_in_it(tmp_path: Path):
    path = tmp_path / "verdicts.sqlite"
    done = subprocess.run(writer(path, 0, 100_000, 200_000), cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    [sentence] = done.stderr.splitlines()
    assert sentence.startswith(f"Error: The verdict store {path} cannot be used")
    assert "free space" in sentence
    told = set(done.stdout.split())
    assert told
    assert check_whole(path, told) == set()
    again = subprocess.run(writer(path, 50_000, 50), cwd=ROOT, capture_output=True, text=True, check=False)
    assert again.returncode == 0, again.stderr
    assert check_whole(path, told | set(again.stdout.split())) == set()


Mount = Callable[[str], None]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[tuple[Path, Mount]]:
    """A file system of its own in memory, and how to mount it again with other options."""
    folder = tmp_path / "disk"
    folder.mkdir()

    def mount(options: str) -> subprocess.CompletedProcess[bytes]:
        command = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", str(folder)]
        return subprocess.run(command, capture_output=True, check=False)

    if os.geteuid() != 0 or mount("size=384k").returncode != 0:
        pytest.skip("needs the right to mount a file system")

    def mount_again(options: str) -> None:
        assert mount(f"remount,{options}").returncode == 0

    try:
        yield folder, mount_again
    finally:
        subprocess.run(["umount", str(folder)], check=True)


def test_a_disk_that_fills_up_stops_grading_and_loses_no_vote(disk: tuple[Path, Mount], chat_server: ChatServer):
    folder, mount_again = disk
    judge = resolve_judge("judge-1", base_url=chat_server.base_url)
    grader = Grader(judge, folder / "verdicts.sqlite", concurrency=4)
    with pytest.raises(UserError, match=r"cannot be used \(database or disk is full\): free space.*are kept"):
        grader.grade(REQUESTS, progress=False)
    grader.close()
    asked = chat_server.counts().received["judge"]
    assert 4 < asked < 240

    mount_again("size=8m")
    grader = Grader(judge, folder / "verdicts.sqlite", concurrency=4)
    verdicts = grader.grade(REQUESTS, progress=False)
    assert all(decision.earned is not None for verdict in verdicts for decision in verdict.decisions.values())
    assert asked - 4 <= grader.stats.stored < asked  # what was in flight is lost, and nothing else
    assert chat_server.counts().received["judge"] - asked == grader.stats.calls == 240 - grader.stats.stored
    grader.close()


def test_a_disk_without_any_room_is_one_sentence(disk: tuple[Path, Mount]):
    folder, _ = disk
    with pytest.raises(OSError, match="No space"):
        (folder / "filler").write_bytes(bytes(2**20))
    with pytest.raises(UserError, match="cannot be used"):
        VerdictStore(folder / "verdicts.sqlite")


@pytest.fixture
def read_only(tmp_path: Path, request: pytest.FixtureRequest) -> tuple[Path, Callable[[], None]]:
    """A folder, and how to make it read-only; permissions alone do not stop root."""
    if os.geteuid() == 0:
        folder, mount_again = request.getfixturevalue("disk")
        return folder, lambda: mount_again("ro")
    folder = tmp_path / "home"
    folder.mkdir()
    return folder, lambda: folder.chmod(0o555)


@pytest.mark.parametrize("there_before", [False, True])
def test_a_read_only_home_is_one_sentence(read_only: tuple[Path, Callable[[], None]], there_before: bool):
    folder, protect = read_only
    path = folder / "verdicts.sqlite"
    if there_before:
        store = VerdictStore(path)
        store.write("1", "judge", Reply(State.GRADED, "x"))
        store.close()
    protect()
    with pytest.raises(UserError, match=r"verdicts\.sqlite cannot be used .*permissions.*SKILLMIX_HOME"):
        VerdictStore(path).write("2", "judge", Reply(State.GRADED, "x"))


OLD_TABLE = """
CREATE TABLE replies (
    key TEXT PRIMARY KEY, judge TEXT NOT NULL, state TEXT NOT NULL, text TEXT NOT NULL, detail TEXT NOT NULL,
    prompt_tokens INTEGER NOT NULL, completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL,
    created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP
) WITHOUT ROWID
"""


@pytest.fixture(params=[0, 1, 2])
def old_store(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A file as versions 1 and 2 wrote it; 0 is one of version 1 that nobody has numbered."""
    path = tmp_path / "verdicts.sqlite"
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA journal_mode=WAL")
        db.execute(OLD_TABLE)
        if request.param == 2:
            db.execute("ALTER TABLE replies ADD COLUMN refused TEXT NOT NULL DEFAULT ''")
        db.execute(f"PRAGMA user_version={request.param}")
        for key in range(20):
            row = (str(key), f"{key} " * 100, key)
            db.execute(
                "INSERT INTO replies (key, judge, state, text, detail, prompt_tokens, completion_tokens, "
                "cached_tokens, created) VALUES (?, 'judge', 'graded', ?, '', 10, ?, 0, '2026-01-01 00:00:00')",
                row,
            )
    return path


def test_a_store_of_an_older_version_keeps_its_votes(old_store: Path):
    store = VerdictStore(old_store)
    store.write("20", "judge", Reply(State.GRADED, "20 " * 100, usage=Usage(10, 20), refused=frozenset({"seed"})))
    assert store.read(["20"])["20"].refused == {"seed"}
    assert store.read(["3"])["3"].refused == frozenset()
    [votes] = store.summarise()
    assert (votes.votes, votes.first) == (21, "2026-01-01 00:00:00")
    store.prune(None, 30)
    assert store.summarise()[0].votes == 1
    store.close()
    batches = BatchStore(old_store)
    batches.plan([["21", "22"], ["23"]], "http://judge", "judge", frozenset({"seed"}))
    assert [batch.requests for batch in batches.open()] == [(("21", "22"), ("23",))]
    batches.close()


def test_processes_that_open_an_old_store_at_once_bring_it_up_to_date_once(old_store: Path):
    def write(first: int) -> subprocess.CompletedProcess[str]:
        return subprocess.run(writer(old_store, first, 20), cwd=ROOT, capture_output=True, text=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(write, (100, 200, 300, 400)))
    assert [result.returncode for result in results] == [0] * 4, results
    told = {key for result in results for key in result.stdout.split()}
    assert len(told) == 80
    assert check_whole(old_store, told) == {str(key) for key in range(20)}
