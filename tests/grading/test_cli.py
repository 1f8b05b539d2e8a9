"""`skillmix judges` and `skillmix store`, through the command line's own entry."""

from __future__ import annotations

import datetime
import json
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import State, Usage, UserError
from grading.backend import Reply
from grading.cli import app
from grading.models.judge import known_judges
from grading.store.batches import BatchStore
from grading.store.cli import app as store_app
from grading.store.replies import VerdictStore
from tests.skillmix_tasks.running import environment, run

GPT = "gpt-4.1-2025-04-14"
USAGE = Usage(1_000_000, 100_000, 500_000)


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four votes, of 0, 10, 20 and 30 days ago; the oldest two of another judge."""
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path))
    monkeypatch.setenv("COLUMNS", "200")
    path = tmp_path / "verdicts.sqlite"
    written = VerdictStore(path)
    for number in range(4):
        state = State.REFUSED if number == 1 else State.GRADED
        reply = Reply(state, f"réply\n{number}", "", USAGE, frozenset({"seed", "temperature"}))
        written.write(f"key-{number}", GPT if number < 2 else "other", reply)
    written.close()
    with sqlite3.connect(path) as db:
        for number in range(4):
            days = f"-{10 * number} days"
            db.execute("UPDATE replies SET created = datetime('now', ?) WHERE key = ?", (days, f"key-{number}"))
    return path


def keys(store: Path) -> list[str]:
    with sqlite3.connect(store) as db:
        return [key for (key,) in db.execute("SELECT key FROM replies ORDER BY key")]


@pytest.fixture
def call() -> Callable[..., str]:
    def invoke(*arguments: str) -> str:
        return CliRunner().invoke(store_app, arguments, catch_exceptions=False).stdout

    return invoke


def test_known_judges_with_price_and_shutdown(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("COLUMNS", "200")
    rows = {row["name"]: row for row in json.loads(CliRunner().invoke(app, ["judges", "--json"]).stdout)}
    assert set(rows) == set(known_judges())
    assert rows[GPT]["price"]["output"] == 8
    assert rows[GPT]["shutdown"] == "2027-01-14"
    assert rows[GPT]["days_left"] == (datetime.date(2027, 1, 14) - datetime.date.today()).days
    assert rows["local-example"]["price"] is None
    table = CliRunner().invoke(app, ["judges"]).stdout
    assert f"{GPT} " in table
    assert "2.00 / 0.50 / 8.00" in table
    assert f"2027-01-14 ({rows[GPT]['days_left']} days)" in table
    assert max(map(len, table.splitlines())) <= 200


def test_stats_by_judge(store: Path, call):
    summary = json.loads(call("stats", "--json"))
    assert summary["file"] == str(store)
    assert summary["votes"] == 4
    assert summary["bytes"] >= store.stat().st_size
    gpt, other = summary["judges"]
    assert (gpt["judge"], gpt["votes"], gpt["with_text"]) == (GPT, 2, 1)
    assert (gpt["prompt_tokens"], gpt["cached_tokens"], gpt["completion_tokens"]) == (
        2_000_000,
        1_000_000,
        200_000,
    )
    assert gpt["dollars"] == pytest.approx(2 * (1.00 + 0.25 + 0.80))
    assert other["dollars"] is None  # its price is not known, which is not zero
    assert (summary["first"], summary["last"]) == (other["first"], gpt["last"])
    text = call("stats")
    assert "4.10" in text
    assert "4 votes" in text


@pytest.fixture
def batches(store: Path) -> Iterator[BatchStore]:
    """One open batch of two requests, the other one planned and not sent."""
    found = BatchStore(store)
    sent = found.plan([["key-0", "new-0"], ["new-1"]], "http://judge", GPT, frozenset())
    found.submitted(sent, "batch_7")
    found.plan([["new-2"]], "http://judge", "other", frozenset())
    yield found
    found.close()


def test_stats_show_open_batches(store: Path, batches: BatchStore, call):
    shown = json.loads(call("stats", "--json"))["open_batches"]
    assert sorted((one["judge"], one["batch"], one["votes"]) for one in shown) == [
        (GPT, "batch_7", 3),
        ("other", None, 1),
    ]
    assert f"Open batch batch_7: 3 votes of {GPT}, since 20" in call("stats")
    assert "Open batch (not known to be submitted): 1 votes" in call("stats")
    written = VerdictStore(store)
    for key in ("new-0", "new-1", "new-2"):
        written.write(key, GPT, Reply(State.GRADED))
    written.close()
    assert json.loads(call("stats", "--json"))["open_batches"] == []  # all that they hold is here


def test_open_batches_outlive_pruning_unless_they_are_given_up(store: Path, batches: BatchStore, call):
    call("prune", "--judge", GPT, "--yes")
    assert keys(store) == ["key-2", "key-3"]
    assert len(batches.open()) == 2
    assert call("prune", "--batches") == "Add --yes to give up 2 batches of 4 votes, already paid for.\n"
    assert len(batches.open()) == 2
    assert call("prune", "--batches", "--yes") == "Gave up 2 batches of 4 votes.\n"
    assert batches.open() == []
    with pytest.raises(UserError, match="leave out --judge"):
        call("prune", "--batches", "--judge", GPT)


def test_stats_of_an_empty_store(tmp_path: Path, call):
    VerdictStore(tmp_path / "v.sqlite").close()
    summary = json.loads(call("stats", "--json", "--file", str(tmp_path / "v.sqlite")))
    assert (summary["votes"], summary["first"], summary["judges"]) == (0, None, [])


def test_an_export_holds_every_column(store: Path, call, tmp_path: Path):
    records = [json.loads(line) for line in call("export").splitlines()]
    assert [record["key"] for record in records] == keys(store)
    assert records[1]["text"] == "réply\n1"
    assert records[1]["state"] == "refused"
    assert records[1]["refused"] == "seed temperature"
    with sqlite3.connect(store) as db:
        columns = {row[1] for row in db.execute("PRAGMA table_info(replies)")}
    assert set(records[0]) == columns
    assert call("export", "--judge", "other", "-o", str(tmp_path / "out.jsonl")) == ""
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["key"] for line in lines] == ["key-2", "key-3"]
    with pytest.raises(UserError, match="cannot be written to"):
        call("export", "-o", str(tmp_path / "nowhere" / "out.jsonl"))


@pytest.mark.parametrize(
    ("arguments", "left"),
    [
        (["--judge", "other"], ["key-0", "key-1"]),
        (["--older-than", "15"], ["key-0", "key-1"]),
        (["--older-than", "5"], ["key-0"]),
        (["--older-than", "25", "--judge", GPT], ["key-0", "key-1", "key-2", "key-3"]),
        (["--older-than", "25", "--judge", "other"], ["key-0", "key-1", "key-2"]),
    ],
)
def test_pruning_needs_a_yes(store: Path, call, arguments: list[str], left: list[str]):
    number = 4 - len(left)
    votes = "1 vote" if number == 1 else f"{number} votes"
    said = f"Add --yes to delete {votes}." if number else "No vote of this judge and age is in the store"
    assert call("prune", *arguments).startswith(said)
    assert len(keys(store)) == 4
    assert json.loads(call("prune", *arguments, "--yes", "--json")) == {"votes": number, "deleted": True}
    assert keys(store) == left


def test_pruning_gives_the_space_back(tmp_path: Path, call):
    path = tmp_path / "v.sqlite"
    store = VerdictStore(path)
    for number in range(200):
        store.write(str(number), "judge", Reply(State.GRADED, "x" * 10_000))
    store.close()
    before = path.stat().st_size
    assert before > 2_000_000
    call("prune", "--judge", "judge", "--yes", "--file", str(path))
    assert sum(file.stat().st_size for file in tmp_path.iterdir()) < before / 20


def test_pruning_everything_by_mistake_is_not_easy(store: Path, call):
    with pytest.raises(UserError, match="--judge MODEL, --older-than DAYS"):
        call("prune", "--yes")
    assert len(keys(store)) == 4


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path, call):
    with pytest.raises(UserError, match="no verdict store"):
        call("stats", "--file", str(tmp_path / "v.sqlite"))
    assert not (tmp_path / "v.sqlite").exists()


@pytest.mark.slow
def test_the_commands_are_part_of_skillmix(store: Path, tmp_path: Path):
    env = environment(tmp_path)
    done = run("skillmix", "store", "stats", "--json", env=env, cwd=tmp_path)
    assert json.loads(done.stdout)["votes"] == 4, done.stderr
    done = run("skillmix", "judges", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    done = run("skillmix", "store", "stats", env=environment(tmp_path / "nothing"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: There is no verdict store")
