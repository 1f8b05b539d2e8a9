"""A run that is killed in the middle of judging, and finished from what is on disk."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import BIN, MODELS, environment, metadata, run, student_arguments

pytestmark = pytest.mark.slow

ITEMS, CONCURRENCY, VOTES = 6, 4, 54


def arguments(server: ChatServer, **settings: object) -> list[str]:
    return [
        *student_arguments(server.url),
        *("--tasks", "skillmix_k3", "--apply_chat_template", "--limit", str(ITEMS), "--json"),
        *metadata(judge="judge-1", judge_base_url=server.base_url, concurrency=CONCURRENCY, **settings),
    ]


def test_a_killed_run_is_finished_and_pays_for_nothing_twice(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=0.6, models=MODELS)
    unbroken = run("skillmix", "eval", *arguments(chat_server), env=environment(tmp_path / "whole"), cwd=tmp_path)
    assert unbroken.returncode == 0, unbroken.stderr
    table = json.loads(unbroken.stdout)["results"]
    assert chat_server.counts().received["judge"] == VOTES

    chat_server.reset()
    chat_server.set(earn=0.6, models=MODELS, hold_after=20)
    env = environment(tmp_path / "home")
    process = subprocess.Popen(
        [BIN / "skillmix", "eval", *arguments(chat_server)],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        chat_server.wait(lambda counts: counts.held == CONCURRENCY, timeout=120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    before = chat_server.counts()
    assert before.replied["judge"] == 20
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")

    chat_server.release()
    done = run("skillmix", "grade", answers, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"] == table
    after = chat_server.counts()
    assert after.received["student"] == ITEMS * 3 * 2  # nothing was generated again
    asked_after = after.received["judge"] - before.received["judge"]
    assert VOTES - 20 <= asked_after <= VOTES - 20 + CONCURRENCY


def test_an_interrupt_from_the_keyboard_ends_the_run_soon(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=MODELS, hold_after=8)
    process = subprocess.Popen(
        [BIN / "skillmix", "eval", *arguments(chat_server)],
        cwd=tmp_path,
        env=environment(tmp_path / "home"),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    try:
        chat_server.wait(lambda counts: counts.held == CONCURRENCY, timeout=120)
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=100) != 0
    finally:
        process.kill()
        process.communicate()
    chat_server.release()
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    asked_before = chat_server.counts().received["judge"]
    done = run("skillmix", "grade", answers, "--json", env=environment(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert chat_server.counts().received["judge"] - asked_before == VOTES - 8


def test_answers_of_another_pack_or_seed_are_not_graded_as_these(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=MODELS)
    env = environment(tmp_path / "home")
    done = run("skillmix", "eval", *arguments(chat_server, votes=1), env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    done = run("skillmix", "grade", answers, "--set", "seed=1", env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "is not the one that was answered" in done.stderr
