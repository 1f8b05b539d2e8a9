from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from grading import State, Usage, UserError
from grading.backend import Reply
from grading.failure import Cause, Failure
from grading.home import Server, StorePlace
from grading.store.batches import BatchStore
from grading.store.replies import VerdictStore, vote_key

REPLY = Reply(State.GRADED, "{}", "", Usage(10, 5, 2))


def test_a_reply_is_read_back_whole(place: StorePlace):
    store = VerdictStore(place)
    store.write("k1", "judge", REPLY)
    store.write("k2", "judge", Reply(State.REFUSED, "no", "why", refused=frozenset({"seed", "n"})))
    assert store.read(["k1", "nothing"]) == {"k1": REPLY}
    store.close()
    again = VerdictStore(store.place)
    assert again.read(["k2"])["k2"] == Reply(State.REFUSED, "no", "why", refused=frozenset({"seed", "n"}))
    again.close()


def test_folders_are_made(tmp_path: Path):
    VerdictStore(tmp_path / "deep" / "verdicts.sqlite").close()
    assert (tmp_path / "deep" / "verdicts.sqlite").exists()


def test_the_first_reply_to_a_key_stays(place: StorePlace):
    store = VerdictStore(place)
    store.write("k", "judge", REPLY)
    store.write("k", "judge", Reply(State.EMPTY))
    store.add("l", "judge", REPLY)
    store.add("l", "judge", Reply(State.EMPTY))
    store.commit()
    assert store.read(["k", "l"]) == {"k": REPLY, "l": REPLY}
    store.close()


@pytest.mark.parametrize(
    "text",
    [
        "null \0 and \0\0",
        "\ue000",
        "\ue000\0\ue001\ue000\ue001",
        "? %s %(a)s :b $1 'quoted' \\ \"",
        "日本語 🙂 \u2028",
        "",
        "x" * 300_000,
    ],
    ids=["null", "escape", "null and escape", "marks", "letters", "nothing", "long"],
)
def test_every_text_comes_back_as_it_was(place: StorePlace, text: str):
    store = VerdictStore(place)
    store.write("k", text, Reply(State.GRADED, text, text))
    store.fail("l", "judge", Failure(Cause.REFUSED, 400, text))
    store.commit()
    assert store.read(["k"])["k"] == Reply(State.GRADED, text, text)
    assert [record["judge"] for record in store.records(text)] == [text]
    assert [failure["words"] for failure in store.failures()] == [text]
    store.close()


def test_many_keys_are_read_at_once(place: StorePlace):
    store = VerdictStore(place)
    for number in range(1200):
        store.add(str(number), "judge", REPLY)
    store.commit()
    assert len(store.read(map(str, range(2000)))) == 1200
    store.close()


def test_what_was_not_committed_is_not_there(place: StorePlace):
    store, other = VerdictStore(place), VerdictStore(place)
    store.add("k", "judge", REPLY)
    assert other.read(["k"]) == {}
    store.commit()
    assert other.read(["k"]) == {"k": REPLY}
    store.close()
    other.close()


def test_a_failure_stands_until_its_reply(place: StorePlace):
    store = VerdictStore(place)
    store.fail("k", "judge", Failure(Cause.REFUSED, None, "no"))
    store.fail("k", "judge", Failure(Cause.REFUSED, 400, "not so"))
    store.fail("l", "other", Failure(Cause.REFUSED, 400, "no"))
    store.commit()
    store.fail("l", "other", Failure(Cause.REFUSED, 401, "not yet"))
    store.commit()
    found = {(one["key"], one["judge"], one["status"], one["words"]) for one in store.failures()}
    assert found == {("k", "judge", 400, "not so"), ("l", "other", 401, "not yet")}
    assert [one["key"] for one in store.failures("judge")] == ["k"]
    store.write("k", "judge", REPLY)
    assert [one["key"] for one in store.failures()] == ["l"]
    store.close()


def test_a_reply_of_an_unknown_state_is_replaced(place: StorePlace, caplog: pytest.LogCaptureFixture):
    store = VerdictStore(place)
    store.write("k", "judge", REPLY)
    store.write("l", "judge", REPLY)
    store._db.write(("UPDATE replies SET state = ? WHERE key = ?", [("perhaps", "k")]))
    assert store.read(["k", "l"]) == {"l": REPLY}
    assert store.damaged == {"k"}
    assert "1 stored replies" in caplog.text
    assert ("store repair" in caplog.text) == isinstance(place, Path)
    assert [record["key"] for record in store.records()] == ["l"]
    store.write("k", "judge", Reply(State.EMPTY))
    assert store.read(["k"])["k"].state is State.EMPTY
    store.close()


def test_sums_and_pruning(place: StorePlace):
    store = VerdictStore(place)
    store.write("a", "one", REPLY)
    store.write("b", "one", Reply(State.REFUSED, "no", usage=Usage(3, 4, 9)))  # a discount that cannot be
    store.write("c", "two", Reply(State.GRADED, "no usage"))
    store._db.write(("UPDATE replies SET created = '2020-01-02 03:04:05' WHERE key = ?", [("b",)]))
    one, two = store.summarise()
    assert (one.judge, one.votes, one.graded, one.without_usage) == ("one", 2, 1, 0)
    assert (one.usage, one.first) == (Usage(13, 9, 2), "2020-01-02 03:04:05")
    assert abs(datetime.fromisoformat(f"{one.last}Z") - datetime.now(UTC)) < timedelta(minutes=1)
    assert (two.votes, two.without_usage, two.usage) == (1, 1, Usage())
    assert [record["key"] for record in store.records()] == ["a", "b", "c"]
    assert [record["key"] for record in store.records("one")] == ["a", "b"]
    assert (store.count(None, 30), store.count("two", 30), store.count("two", None)) == (1, 0, 1)
    assert store.prune(None, 30) == 1
    assert store.prune("two", None) == 1
    assert [record["key"] for record in store.records()] == ["a"]
    assert store.size() > 1000
    store.close()


def test_batches_are_there_from_plan_to_finish(place: StorePlace):
    batches, store = BatchStore(place), VerdictStore(place)
    first = batches.plan([["a", "b"], ["c"]], "http://judge", "judge", frozenset({"seed", "n"}))
    second = batches.plan([["d"]], "http://judge", "judge", frozenset())
    assert {batch.id for batch in batches.open()} == {first.id, second.id}
    batches.uploaded(first, "file_1")
    batches.submitted(first, "batch_1")
    [found] = [batch for batch in batches.open() if batch.id == first.id]
    assert (found.file, found.remote, found.refused) == ("file_1", "batch_1", frozenset({"seed", "n"}))
    assert found.requests == (("a", "b"), ("c",))
    store.write("d", "judge", REPLY)
    assert [batch.id for batch in batches.open()] == [first.id]
    batches.finish(first)
    assert batches.open() == []
    batches.close()
    store.close()


def test_one_process_at_a_time_sends_a_batch(place: StorePlace):
    first, second = BatchStore(place), BatchStore(place)
    order = []

    def send() -> None:
        with second.sending():
            order.append("second")

    with ThreadPoolExecutor(1) as threads:
        with first.sending():
            waiting = threads.submit(send)
            with pytest.raises(TimeoutError):
                waiting.result(0.5)
            order.append("first")
        waiting.result(10)
    assert order == ["first", "second"]
    first.close()
    second.close()


def test_a_key_depends_on_all_that_a_vote_depends_on():
    messages = [{"role": "user", "content": "a"}]
    keys = {
        vote_key({"model": "m", "temperature": 0.7}, messages, 0),
        vote_key({"model": "n", "temperature": 0.7}, messages, 0),
        vote_key({"model": "m", "temperature": 0.8}, messages, 0),
        vote_key({"model": "m", "temperature": 0.7}, [{"role": "user", "content": "b"}], 0),
        vote_key({"model": "m", "temperature": 0.7}, messages, 1),
    }
    assert len(keys) == 5
    assert vote_key({"b": 1, "a": 2}, messages, 0) == vote_key({"a": 2, "b": 1}, messages, 0)


WRITER = """
import sys
from pathlib import Path
from grading import State
from grading.backend import Reply
from grading.home import Server
from grading.store.replies import VerdictStore
place = sys.argv[1]
store = VerdictStore(Server(place) if "://" in place else Path(place))
for number in range(50):
    store.write(f"{sys.argv[2]}-{number}", "judge", Reply(State.GRADED, "x"))
    store.write(f"all-{number}", "judge", Reply(State.GRADED, sys.argv[2]))
"""


@pytest.mark.slow
def test_four_processes_write_at_once(place: StorePlace):
    """Some of it under the same keys."""
    address = place.address if isinstance(place, Server) else str(place)

    def write(name: str):
        return subprocess.run([sys.executable, "-c", WRITER, address, name], capture_output=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(write, "abcd"))
    assert [result.returncode for result in results] == [0] * 4, results
    keys = [f"{name}-{number}" for name in (*"abcd", "all") for number in range(50)]
    store = VerdictStore(place)
    assert len(store.read(keys)) == 250
    store.close()


def test_a_store_that_cannot_be_used_is_one_sentence(tmp_path: Path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="SKILLMIX_HOME"):
        VerdictStore(tmp_path / "file" / "v.sqlite")
    broken = tmp_path / "broken.sqlite"
    broken.write_bytes(b"not a database, but long enough to be taken for one" * 40)
    with pytest.raises(UserError, match=r"broken\.sqlite is damaged"):
        VerdictStore(broken)


def test_a_store_of_a_newer_version_is_left_alone(tmp_path: Path):
    path = tmp_path / "v.sqlite"
    VerdictStore(path).close()
    with sqlite3.connect(path) as db:
        db.execute("PRAGMA user_version=99")
    with pytest.raises(UserError, match="newer version"):
        VerdictStore(path)
