"""Batch mode from the command line: a run that is killed while it waits, and finished from what is on disk."""

from __future__ import annotations

import json
import signal
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import BIN, MODELS, environment, metadata, run, student_arguments

pytestmark = pytest.mark.slow

REQUESTS = 4 * 3  # items, generations; each request asks for three votes
PRICE = {"input": 2.0, "output": 8.0, "batch": 0.5}


def arguments(server: ChatServer, **settings: Any) -> list[str]:
    judge = {"model": "judge-1", "base_url": server.base_url, "price": PRICE}
    return [
        *student_arguments(server.url),
        *("--tasks", "skillmix_k2", "--apply_chat_template", "--limit", "4", "--json"),
        *metadata(**{"judge": judge} | settings),
    ]


def grading(stdout: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(stdout)["configs"]["skillmix_k2"]["metadata"]["skillmix"]["grading"]
    return record


def test_a_run_killed_while_it_waits_fetches_its_batch_at_half_the_price(chat_server: ChatServer, tmp_path: Path):
    behaviour: dict[str, Any] = {"earn": 0.6, "models": MODELS, "n": "honour", "prompt_cache": False}
    chat_server.set(**behaviour)
    live = run("skillmix", "eval", *arguments(chat_server), env=environment(tmp_path / "live"), cwd=tmp_path)
    assert live.returncode == 0, live.stderr

    chat_server.reset()
    chat_server.set(**behaviour, batch_polls=10_000)
    env = environment(tmp_path / "home")
    process = subprocess.Popen(
        [BIN / "skillmix", "eval", *arguments(chat_server, batch=True)],
        cwd=tmp_path,
        env=env,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        chat_server.wait(lambda counts: counts.batch_looks > 0, timeout=120)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    shown = run("skillmix", "store", "stats", "--json", env=env, cwd=tmp_path)
    assert [(one["batch"], one["votes"]) for one in json.loads(shown.stdout)["open_batches"]] == [("batch_0", 36)]

    chat_server.set(batch_polls=1)
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    done = run("skillmix", "grade", answers, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "Found batch batch_0 again, of 36 votes" in done.stderr
    assert json.loads(done.stdout)["results"] == json.loads(live.stdout)["results"]
    counts = chat_server.counts()
    assert (counts.batches, len(counts.submitted), set(counts.submitted.values())) == (1, REQUESTS, {1})
    assert "POST /v1/chat/completions" in counts.routes  # of the student
    assert counts.received["judge"] == REQUESTS
    full, half = grading(live.stdout), grading(done.stdout)
    assert half["spent"]["dollars"] == pytest.approx(full["spent"]["dollars"] / 2)
    assert half["estimate"]["dollars"] == pytest.approx(full["estimate"]["dollars"] / 2)


def test_a_judge_without_batches_is_refused_before_anything_is_generated(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=MODELS, batches=False)
    env = environment(tmp_path / "home")
    done = run("skillmix", "eval", *arguments(chat_server, batch=True), env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "has no Batch API (status 404): leave out the setting `batch`" in sentence
    assert chat_server.counts().received["student"] == 0
    done = run("skillmix", "eval", *arguments(chat_server, batch=True, judge="hf:here"), env=env, cwd=tmp_path)
    assert "Error: The judge hf:here runs in this process and has no Batch API" in done.stderr
