"""Runs with one store at the same time: each vote is paid for once, also when a run is killed."""

from __future__ import annotations

import json
import multiprocessing
import signal
import sqlite3
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path
from typing import NamedTuple

import pytest

from grading import Grader, State, resolve_judge
from grading.backend import Reply
from grading.home import StorePlace
from grading.store import claims
from grading.store.replies import VerdictStore
from tests.forks import Fork
from tests.grading.graded_run import CONCURRENCY, VOTES, grade_into
from tests.grading.test_zoo import requests
from tests.servers.chat import ChatServer
from tests.servers.zoo.habit import EARNED, MODEL, Answer, Habit, Json
from tests.servers.zoo.serving import serving

pytestmark = pytest.mark.slow


class Slow(Habit):
    def chat(self, body: Json, number: int) -> Answer:
        time.sleep(0.05)
        return super().chat(body, number)


def run(base_url: str, store: StorePlace, number: int) -> list[dict[str, bool | None]]:
    grader = Grader(resolve_judge(MODEL, base_url=base_url), store, concurrency=4)
    verdicts = grader.grade(requests(number), progress=False)
    grader.close()
    return [{name: one.earned for name, one in verdict.decisions.items()} for verdict in verdicts]


def test_four_runs_at_once_pay_for_each_vote_once(place: StorePlace):
    with serving(Slow()) as visited, ThreadPoolExecutor(4) as threads:
        runs = [threads.submit(run, visited.base_url, place, 30) for _ in range(4)]
        assert [one.result() for one in runs] == [[EARNED] * 30] * 4
    assert len(visited.chats) == 30


class Killed(NamedTuple):
    """When a process is killed, and what that costs."""

    after: int  # requests that have come by then
    lost: int  # at most


@pytest.mark.parametrize(("answers", "kill"), [(45, None), (45, Killed(40, CONCURRENCY))])
def test_four_processes_pay_for_each_vote_once(
    chat_server: ChatServer, tmp_path: Path, answers: int, kill: Killed | None
):
    """The others take over what a killed one had claimed, and pay again for its requests in flight alone."""
    chat_server.set(judge_latency=0.05, models=["judge-1"])  # one vote a request
    outputs = [tmp_path / f"{number}.json" for number in range(4)]
    processes = [Fork(grade_into, output, tmp_path / "store", chat_server.base_url, answers) for output in outputs]
    if kill:
        chat_server.wait(lambda counts: counts.received["judge"] >= kill.after)
        paying = claimants(tmp_path / "store")
        [victim] = [process for process in processes if process.pid == paying[0]]
        assert victim.kill() == -signal.SIGKILL
        outputs.pop(processes.index(victim))
        processes.remove(victim)
    for process in processes:
        done = process.wait(300)
        assert done.returncode == 0, done.stderr
    assert len({output.read_text() for output in outputs}) == 1
    asked = Counter(vote_of(entry.body) for entry in chat_server.log("judge"))
    assert len(asked) == answers * VOTES
    twice = sum(asked.values()) - len(asked)
    assert twice == 0 if kill is None else 0 < twice <= kill.lost


def claimants(store: Path) -> list[int]:
    """The processes that pay for something now, who pays for most first."""
    with closing(sqlite3.connect(store)) as db:
        owners = db.execute("SELECT owner FROM claims GROUP BY owner ORDER BY COUNT(*) DESC").fetchall()
    return [int(owner.split(":")[1]) for [owner] in owners]


def vote_of(body: Json) -> str:
    """The vote that a request is for, whatever else it has."""
    return json.dumps([body["messages"], body["seed"]])


def test_claims_expire(place: StorePlace, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(claims, "LEASE", 1.0)
    first, second = claims.Claims(place), claims.Claims(place)
    assert first.take(["a", "b"]) == {"a", "b"}
    assert second.take(["a", "c"]) == {"c"}
    with first.held():
        time.sleep(1.5)
        assert second.take(["a"]) == set()
    assert second.take(["a"]) == {"a"}
    time.sleep(1.2)
    assert first.take(["a", "c"]) == {"a", "c"}
    first.close()
    second.close()


def test_claims_of_a_process_that_has_ended_are_free_at_once_where_it_can_be_seen(place: StorePlace):
    """The same number is another process on another machine, or in another container of this one."""
    ended = multiprocessing.get_context("spawn").Process(target=str)
    ended.start()
    ended.join()
    run = claims.Claims(place)
    owners = {"here": claims._HERE, "elsewhere": "another-machine"}
    rows = [(key, f"{machine}:{ended.pid}:x", 4e9) for key, machine in owners.items()]
    run._db.write(("INSERT INTO claims VALUES (?, ?, ?)", rows))
    assert run.take(["here", "elsewhere"]) == {"here"}
    run.close()


def test_claims_whose_reply_came_meanwhile_are_given_up(place: StorePlace):
    """A run reads the replies, another one stores its reply and gives its claim up, and then the first claims."""
    run, store = claims.Claims(place), VerdictStore(place)
    store.write("a", "judge", Reply(State.GRADED, "x"))
    store.write("b", "judge", Reply(State.GRADED, "x"))
    assert run.take(["a", "b", "c"], damaged={"b"}) == {"b", "c"}
    assert {key for [key] in store._db.rows("SELECT key FROM claims")} == {"b", "c"}
    store.write("b", "judge", Reply(State.GRADED, "x"))
    assert {key for [key] in store._db.rows("SELECT key FROM claims")} == {"c"}
    run.close()
    store.close()
