"""A grading process that is killed again and again: nothing is paid for twice, and the table is the same."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from pathlib import Path

import pytest

from tests.forks import Fork
from tests.grading.graded_run import ANSWERS, CONCURRENCY, VOTES, grade_into
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

KILLS = 20
ALL = ANSWERS * VOTES
LATENCY = 0.05  # seconds


def start(folder: Path, server: ChatServer) -> Fork:
    return Fork(grade_into, folder / "table.json", folder / "verdicts.sqlite", server.base_url)


def finish(folder: Path, server: ChatServer) -> str:
    done = start(folder, server).wait(300)
    assert done.returncode == 0, done.stderr
    return (folder / "table.json").read_text()


def votes_on_disk(folder: Path) -> int:
    with sqlite3.connect(folder / "verdicts.sqlite") as db:  # an empty file, if there was none yet
        tables = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'replies'").fetchall()
        return int(db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]) if tables else 0


def test_twenty_kills_change_no_verdict_and_buy_no_vote_twice(chat_server: ChatServer, tmp_path: Path):
    # One vote a request, so that requests count votes; what a prompt cache holds depends on the order of arrival.
    behaviour = {"judge_latency": LATENCY, "earn": 0.6, "n": "ignore", "prompt_cache": False}
    chat_server.set(**behaviour)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    whole.mkdir()
    killed.mkdir()
    unbroken = finish(whole, chat_server)
    assert chat_server.counts().received["judge"] == ALL
    chat_server.reset()
    chat_server.set(**behaviour)

    draw = random.Random(20)
    # A run is killed when so many requests have come in all; where two are equal, it may not have asked for any.
    moments = sorted(draw.choices(range(ALL - CONCURRENCY), k=KILLS))
    before = lost = 0
    for moment in moments:
        process = start(killed, chat_server)
        while chat_server.counts().received["judge"] < moment:
            assert process.alive
            time.sleep(0.005)
        time.sleep(draw.random() * LATENCY)
        assert process.kill() == -signal.SIGKILL  # it was in the midst of its work
        counts = chat_server.wait(lambda counts: counts.in_flight["judge"] == 0)
        on_disk = votes_on_disk(killed)
        in_flight = counts.received["judge"] - lost - on_disk  # asked for, and not on disk when it was killed
        assert 0 <= in_flight <= CONCURRENCY
        assert before <= on_disk < ALL
        lost += in_flight
        before = on_disk
    assert lost > KILLS, "the kills must strike while votes are in flight"

    final = finish(killed, chat_server)
    assert chat_server.counts().received["judge"] <= ALL + lost
    assert final == unbroken
    verdicts = json.loads(final)
    assert {vote["state"] for verdict in verdicts for vote in verdict["votes"]} == {"graded"}
    earned = [decision["earned"] for verdict in verdicts for decision in verdict["decisions"].values()]
    assert 0 < sum(earned) < len(earned) == 2 * ANSWERS, "the judge of this test must not be constant"
