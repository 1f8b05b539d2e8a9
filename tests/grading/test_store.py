from __future__ import annotations

import sqlite3
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grading import State, Usage, UserError
from grading.backend import Reply
from grading.store.replies import VerdictStore, vote_key

REPLY = Reply(State.GRADED, "{}", "", Usage(10, 5, 2))


def test_a_reply_is_read_back_whole(tmp_path: Path):
    store = VerdictStore(tmp_path / "deep" / "verdicts.sqlite")
    store.write("k1", "judge", REPLY)
    store.write("k2", "judge", Reply(State.REFUSED, "no", "why"))
    assert store.read(["k1", "nothing"]) == {"k1": REPLY}
    store.close()
    assert VerdictStore(store.path).read(["k2"])["k2"].state is State.REFUSED


def test_the_first_reply_to_a_key_stays(tmp_path: Path):
    store = VerdictStore(tmp_path / "v.sqlite")
    store.write("k", "judge", REPLY)
    store.write("k", "judge", Reply(State.EMPTY))
    assert store.read(["k"])["k"] == REPLY


def test_many_keys_are_read_at_once(tmp_path: Path):
    store = VerdictStore(tmp_path / "v.sqlite")
    for number in range(1200):
        store.write(str(number), "judge", REPLY)
    assert len(store.read(map(str, range(2000)))) == 1200


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
from grading.store.replies import VerdictStore
store = VerdictStore(Path(sys.argv[1]))
for number in range(200):
    store.write(f"{sys.argv[2]}-{number}", "judge", Reply(State.GRADED, "x"))
"""


@pytest.mark.slow
def test_four_processes_write_at_once(tmp_path: Path):
    path = tmp_path / "v.sqlite"

    def write(name: str):
        return subprocess.run([sys.executable, "-c", WRITER, path, name], capture_output=True, check=False)

    with ThreadPoolExecutor(4) as pool:
        results = list(pool.map(write, "abcd"))
    assert [result.returncode for result in results] == [0] * 4, results
    keys = [f"{name}-{number}" for name in "abcd" for number in range(200)]
    assert len(VerdictStore(path).read(keys)) == 800


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
