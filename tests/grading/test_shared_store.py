"""Graders on several machines that share one store in PostgreSQL."""

from __future__ import annotations

import json
import time
from collections import Counter
from pathlib import Path

import pytest

from grading import Grader, resolve_judge
from grading.home import Server, verdict_store
from grading.store import claims
from grading.store.replies import VerdictStore
from tests.forks import Fork
from tests.grading.test_zoo import requests
from tests.servers.postgres import PostgresServer
from tests.servers.zoo.habit import EARNED, MODEL, Answer, Habit, Json
from tests.servers.zoo.serving import serving

pytestmark = pytest.mark.slow

ANSWERS, CONCURRENCY = 160, 4


class Slow(Habit):
    def chat(self, body: Json, number: int) -> Answer:
        time.sleep(0.05)
        return super().chat(body, number)


def grade_on(machine: str, base_url: str, output: Path) -> None:
    """Grade all answers as on `machine`: a process there sees no process of another."""
    claims._HERE = machine
    claims.LEASE = 2.0
    grader = Grader(
        resolve_judge(MODEL, base_url=base_url, votes=1), verdict_store(), concurrency=CONCURRENCY, adaptive=False
    )
    verdicts = grader.grade(requests(ANSWERS), progress=False)
    grader.close()
    earned = [{name: one.earned for name, one in verdict.decisions.items()} for verdict in verdicts]
    output.write_text(json.dumps([grader.stats.calls, grader.stats.stored, earned == [EARNED] * ANSWERS]))


def grade_into_place(place: Server, base_url: str, output: Path) -> None:
    grader = Grader(
        resolve_judge(MODEL, base_url=base_url, votes=1), place, concurrency=CONCURRENCY, adaptive=False
    )
    verdicts = grader.grade(requests(ANSWERS), progress=False)
    output.write_text(
        json.dumps([{name: one.earned for name, one in verdict.decisions.items()} for verdict in verdicts])
    )


@pytest.mark.parametrize("killed", [None, 0], ids=["all live", "one is killed"])
def test_six_graders_on_two_machines_pay_for_each_vote_once(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, killed: int | None
):
    place = postgres.new_store()
    monkeypatch.setenv("SKILLMIX_STORE", place.address)
    graders = []
    with serving(Slow()) as visited:
        for number in range(6):
            home = tmp_path / f"home-{number}"
            home.mkdir()
            monkeypatch.setenv("HOME", str(home))
            monkeypatch.setenv("SKILLMIX_HOME", str(home / ".skillmix"))
            machine = f"machine-{number % 2}"
            graders.append(Fork(grade_on, machine, visited.base_url, home / "result.json"))
            # The first takes all claims; killed, it leaves them to the others of both machines.
            while number == 0 and len(visited.chats) < 2 * CONCURRENCY:
                assert graders[0].alive
                time.sleep(0.005)
        if killed is not None:
            while len(visited.chats) < ANSWERS // 4:
                time.sleep(0.005)
            graders[killed].kill()
        for number, grader in enumerate(graders):
            done = grader.wait(300)
            assert number == killed or done.returncode == 0, done.stderr
    asked = Counter(json.dumps(body, sort_keys=True) for body in visited.chats)
    again = sum(asked.values()) - ANSWERS
    results = [
        json.loads((tmp_path / f"home-{number}" / "result.json").read_text())
        for number in range(6)
        if number != killed
    ]
    assert len(asked) == ANSWERS
    assert all(right for *_, right in results)
    assert all(calls + stored == ANSWERS for calls, stored, _ in results), results
    if killed is None:
        assert again == 0
        assert sum(calls for calls, *_ in results) == ANSWERS
    else:  # only what was on its way to the one that was killed
        assert 0 <= again <= CONCURRENCY
        assert max(asked.values()) <= 2
    store = VerdictStore(place)
    assert sum(1 for _ in store.records()) == ANSWERS
    assert store._db.rows("SELECT * FROM claims") == []
    store.close()


def test_a_server_that_restarts_in_mid_run_costs_nothing(postgres: PostgresServer, tmp_path: Path):
    place = postgres.new_store()
    with serving(Slow()) as visited:
        grader = Fork(grade_into_place, place, visited.base_url, tmp_path / "result.json")
        while len(visited.chats) < ANSWERS // 4:
            assert grader.alive
            time.sleep(0.005)
        postgres.stop()
        time.sleep(0.5)
        postgres.start()
        done = grader.wait(300)
    assert done.returncode == 0, done.stderr
    assert "The connection to the verdict store" in done.stderr
    assert len(visited.chats) == ANSWERS
    assert json.loads((tmp_path / "result.json").read_text()) == [EARNED] * ANSWERS
