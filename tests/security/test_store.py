"""The verdict store: opened by many at once, on disks that fail, and damaged."""

from __future__ import annotations

import json
import logging
import random
import resource
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from hashlib import sha256
from pathlib import Path

import pytest
from typer.testing import CliRunner

from benchmarks.store_opens import open_at_once
from grading import Criterion, Grader, GradingRequest, State, UserError, resolve_judge
from grading.backend import Reply
from grading.store.batches import BatchStore
from grading.store.cli import app
from grading.store.repair import repair_store
from grading.store.replies import VerdictStore
from grading.store.sqlite import explained, open_file
from grading.verdict import Usage
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.timeout(120)

KEYS = [sha256(str(number).encode()).hexdigest() for number in range(600)]
PAGE = 4096


def reply(key: str) -> Reply:
    return Reply(State.GRADED, f"reply to {key} {'x' * 500}", "", Usage(10, 5, 2))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """A store with a reply to each of KEYS and one open batch."""
    path = tmp_path / "verdicts.sqlite"
    verdicts = VerdictStore(path)
    for key in KEYS:
        verdicts.add(key, "judge", reply(key))
    verdicts.commit()
    verdicts.close()
    batches = BatchStore(path)
    batches.submitted(batches.plan([["open"]], "http://127.0.0.1/v1", "judge", frozenset()), "batch_1")
    batches.close()
    return path


def readable(path: Path) -> int:
    """How many of KEYS have their reply; none has another's."""
    verdicts = VerdictStore(path)
    found = verdicts.read(KEYS)
    verdicts.close()
    assert all(found[key] == reply(key) for key in found)
    return len(found)


def change(path: Path, statement: str, *values: object) -> None:
    with sqlite3.connect(path) as database:
        database.execute(statement, values)
    database.close()


# -- many at once


@pytest.mark.parametrize("processes", [2, 4, 8])
@pytest.mark.slow
def test_a_fresh_store_is_opened_by_many_processes_at_once(tmp_path: Path, processes: int):
    """`python -m benchmarks.store_opens` does so 200 times."""
    assert open_at_once(tmp_path, processes, times=6) == []


@pytest.mark.slow
def test_an_old_store_is_brought_up_to_date_by_many_processes_at_once(tmp_path: Path):
    for number in range(4):
        with sqlite3.connect(tmp_path / f"store-{number}.sqlite") as old:
            old.execute(
                "CREATE TABLE replies (key TEXT PRIMARY KEY, judge TEXT NOT NULL, state TEXT NOT NULL, "
                "text TEXT NOT NULL, detail TEXT NOT NULL, prompt_tokens INTEGER NOT NULL, "
                "completion_tokens INTEGER NOT NULL, cached_tokens INTEGER NOT NULL, "
                "created TEXT NOT NULL DEFAULT CURRENT_TIMESTAMP) WITHOUT ROWID"
            )
            old.execute("PRAGMA user_version=1")
        old.close()
    assert open_at_once(tmp_path, 4, times=4) == []


WRITER = """
import sys
from pathlib import Path
from grading import State
from grading.backend import Reply
from grading.store.replies import VerdictStore
from grading.store.sqlite import explained, open_file
store = VerdictStore(Path(sys.argv[1]))
print("open", flush=True)
for number in range(10**9):
    store.write(f"w{number}", "judge", Reply(State.GRADED, "x"))
"""


@pytest.mark.parametrize(
    "arguments", [["stats", "--json"], ["export"], ["prune", "--judge", "judge", "--yes"], ["prune", "--batches"]]
)
@pytest.mark.slow
def test_the_verbs_work_while_a_run_writes(store: Path, arguments: list[str]):
    with subprocess.Popen([sys.executable, "-c", WRITER, store], stdout=subprocess.PIPE) as run:
        assert run.stdout is not None
        assert run.stdout.readline() == b"open\n"
        done = CliRunner().invoke(app, [*arguments, "--file", str(store)])
        assert run.poll() is None
        run.kill()
    assert done.exit_code == 0, done.exception


# -- what SQLite and the disk say


def _busy(path: Path) -> None:
    database, other = open_file(path), open_file(path)
    other.execute("BEGIN IMMEDIATE")
    database.execute("PRAGMA busy_timeout=50")
    database.execute("BEGIN IMMEDIATE")


def _full(path: Path) -> None:
    database = open_file(path)
    [pages] = database.execute("PRAGMA page_count").fetchone()
    database.execute(f"PRAGMA max_page_count={pages}")
    database.execute("INSERT INTO batch_votes VALUES ('b', 1, 1, ?)", ("x" * 100_000,))


def _read_only(path: Path) -> None:
    with sqlite3.connect(f"file:{path}?mode=ro", uri=True) as database:
        database.execute("DELETE FROM replies")


def _no_table(path: Path) -> None:
    database = open_file(path)
    database.execute("DROP TABLE replies")
    database.execute("SELECT * FROM replies")


def _no_database(path: Path) -> None:
    path.write_bytes(b"This is the text of a letter and no database. " * 200)
    open_file(path)


def _damaged_page(path: Path) -> None:
    spoil(path, 1)
    open_file(path).execute("SELECT * FROM replies").fetchall()


def _folder(path: Path) -> None:
    path.unlink()
    path.mkdir()
    open_file(path)


def _no_space(_: Path) -> None:
    Path("/dev/full").write_bytes(b"x")


@pytest.mark.parametrize(
    ("fault", "name", "advice"),
    [
        (_busy, "database is locked", "another process holds it"),
        (_full, "disk is full", "free space"),
        (_no_space, "No space left", "free space"),
        (_read_only, "readonly database", "fix the permissions"),
        (_no_table, "is damaged", "skillmix store repair"),
        (_no_database, "not a database", "skillmix store repair"),
        (_damaged_page, "malformed", "skillmix store repair"),
        (_folder, "it is not a file", "name another folder"),
    ],
)
def test_each_fault_has_its_own_advice(store: Path, fault: Callable[[Path], None], name: str, advice: str):
    with pytest.raises(UserError) as caught, explained(store):
        fault(store)
    message = str(caught.value)
    assert str(store) in message
    assert name in message
    assert advice in message
    others = {"another process holds it", "free space", "fix the permissions", "skillmix store repair"} - {advice}
    assert not any(other in message for other in others)


LIMITED = """
import resource, signal, sys
from pathlib import Path
from grading import State, UserError
from grading.backend import Reply
from grading.store.replies import VerdictStore
from grading.store.sqlite import explained, open_file
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
store = VerdictStore(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
try:
    for number in range(1000):
        store.write(str(number), "judge", Reply(State.GRADED, "x" * 5000))
except UserError as error:
    print(error)
"""


@pytest.mark.slow
def test_a_disk_that_fails_is_named(tmp_path: Path):
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, tmp_path / "v.sqlite"], capture_output=True, text=True, check=True
    )
    assert "disk I/O error" in done.stdout
    assert "local disk" in done.stdout
    assert resource.RLIMIT_FSIZE  # the process's own limit, and not this one's
    assert len(VerdictStore(tmp_path / "v.sqlite").read(map(str, range(1000)))) > 0


def test_another_program_s_database_is_left_alone(tmp_path: Path):
    path = tmp_path / "places.sqlite"
    change(path, "CREATE TABLE places (url TEXT)")
    before = path.read_bytes()
    for use in (VerdictStore, repair_store):
        with pytest.raises(UserError, match="another program"):
            use(path)
    assert path.read_bytes() == before


# -- single damaged rows

DAMAGES = {
    "bad UTF-8": ("UPDATE replies SET text = CAST(X'7BFF7D' AS TEXT) WHERE key = ?", ()),
    "bad UTF-8 in the judge": ("UPDATE replies SET judge = CAST(X'FF' AS TEXT) WHERE key = ?", ()),
    "a number for a text": ("UPDATE replies SET text = X'00' WHERE key = ?", ()),
    "an unknown state": ("UPDATE replies SET state = 'perhaps' WHERE key = ?", ()),
    "a blob for the state": ("UPDATE replies SET state = X'FF00' WHERE key = ?", ()),
    "a blob for refused": ("UPDATE replies SET refused = X'FF' WHERE key = ?", ()),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_reply_blocks_no_other(store: Path, damage: str, caplog: pytest.LogCaptureFixture):
    change(store, DAMAGES[damage][0], KEYS[7])
    with caplog.at_level(logging.WARNING):
        assert readable(store) == len(KEYS) - 1
    assert "1 stored replies" in caplog.text
    assert "store repair" in caplog.text
    for arguments in (["stats", "--json"], ["export"]):
        done = CliRunner().invoke(app, [*arguments, "--file", str(store)])
        assert done.exit_code == 0, done.exception
    assert len([line for line in done.stdout.splitlines() if line.startswith("{")]) == len(KEYS) - 1
    found = repair_store(store)
    assert (found.votes, found.batches, found.damaged, found.incomplete) == (len(KEYS) - 1, 1, 1, False)
    assert found.old is not None
    assert found.old.exists()
    assert readable(store) == len(KEYS) - 1


@pytest.mark.parametrize("damage", ["bad UTF-8", "a number for a text", "an unknown state"])
@pytest.mark.slow
def test_a_vote_whose_reply_is_damaged_is_asked_for_again_once(
    chat_server: ChatServer, tmp_path: Path, damage: str, caplog: pytest.LogCaptureFixture
):
    path = tmp_path / "v.sqlite"
    judge = resolve_judge("judge-1", base_url=chat_server.base_url, votes=1)
    requests = [
        GradingRequest(
            "Write about rain.", (Criterion("topic", "It is about rain."),), f"Rain number {number} fell."
        )
        for number in range(5)
    ]

    def grade() -> int:
        before = chat_server.counts().received["judge"]
        grader = Grader(judge, path)
        verdicts = grader.grade(requests, progress=False)
        grader.close()
        assert {vote.state for verdict in verdicts for vote in verdict.votes} == {State.GRADED}
        return chat_server.counts().received["judge"] - before

    assert grade() == 5
    with sqlite3.connect(path) as database:
        [key] = database.execute("SELECT key FROM replies LIMIT 1").fetchone()
    change(path, DAMAGES[damage][0], key)
    with caplog.at_level(logging.WARNING):
        assert grade() == 1
    assert "asked for again" in caplog.text
    assert grade() == 0


# -- damaged files


def spoil(path: Path, *pages: int) -> None:
    content = bytearray(path.read_bytes())
    for page in pages:
        content[page * PAGE : (page + 1) * PAGE] = bytes(PAGE)
    path.write_bytes(content)


def _some_pages(path: Path) -> None:
    count = path.stat().st_size // PAGE
    spoil(path, *random.Random(1).sample(range(5, count), 5))


def _byte_by_byte(path: Path) -> None:
    content, dice = bytearray(path.read_bytes()), random.Random(2)
    for _ in range(20):
        content[dice.randrange(5 * PAGE, len(content))] = 0xFF
    path.write_bytes(content)


def _cut_off(path: Path) -> None:
    with path.open("r+b") as file:
        file.truncate(path.stat().st_size // 2)


def _other_header(path: Path) -> None:
    with path.open("r+b") as file:
        file.write(b"no SQLite at all")


@pytest.mark.parametrize(
    ("damage", "least"),
    [
        (lambda path: spoil(path, 0), 600),
        (_other_header, 600),
        (lambda path: spoil(path, 1), 590),  # the root of the replies
        (_some_pages, 550),
        (_byte_by_byte, 560),
        (_cut_off, 200),
        (lambda path: path.write_bytes(b"This is a letter. " * 3000), 0),
    ],
    ids=["first page", "header", "root", "pages", "bytes", "cut off", "no database"],
)
def test_what_can_be_read_of_a_damaged_file_is_copied(store: Path, damage: Callable[[Path], None], least: int):
    damage(store)
    spoilt = store.read_bytes()
    done = CliRunner().invoke(app, ["repair", "--file", str(store), "--json"])
    assert done.exit_code == 0, done.exception
    found = json.loads(done.stdout)
    assert found["votes"] >= least
    old = Path(found["old"])
    assert old.read_bytes() == spoilt
    verdicts = VerdictStore(store)
    sound = verdicts.read(KEYS)
    assert len(sound) >= least
    verdicts.write("new", "judge", reply("new"))
    verdicts.close()
    if least > 500:
        assert found["batches"] == 1
        batches = BatchStore(store)
        assert [batch.remote for batch in batches.open()] == ["batch_1"]
        batches.close()
    again = repair_store(store)
    assert (again.old, again.votes) == (None, found["votes"] + 1)
    assert [file.name for file in store.parent.iterdir() if file.name.startswith(".repair")] == []


def test_what_the_log_beside_a_damaged_file_holds_is_copied_too(store: Path):
    writer = VerdictStore(store)
    writer.write("in the log", "judge", reply("in the log"))
    files = {file: file.read_bytes() for file in store.parent.iterdir()}
    writer.close()
    for file, content in files.items():  # as after a kill
        file.write_bytes(content)
    _other_header(store)
    assert repair_store(store).votes == len(KEYS) + 1


def test_a_store_in_use_is_not_repaired(store: Path):
    change(store, DAMAGES["bad UTF-8"][0], KEYS[7])
    used = VerdictStore(store)
    used.read(KEYS[:1])
    before = store.read_bytes()
    with pytest.raises(UserError, match="another process holds it"):
        repair_store(store)
    assert store.read_bytes() == before
    used.close()
    assert repair_store(store).damaged == 1


def test_a_sound_store_stays(store: Path):
    done = CliRunner().invoke(app, ["repair", "--file", str(store)])
    assert "is not damaged: 600 votes and 1 batch can" in done.stdout.replace("\n", " ")
    assert sorted(file.name for file in store.parent.iterdir()) == [store.name]
