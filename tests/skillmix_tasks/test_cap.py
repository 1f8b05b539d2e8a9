"""A whole run under a cap, its end, and how it goes on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import MODELS, environment, metadata, run, student_arguments

pytestmark = pytest.mark.slow

TASKS = ("skillmix_k2", "skillmix_k3")
VOTES = len(TASKS) * 4 * 3 * 3  # items, generations, votes
CALL = 6000  # tokens; more than any call here may use


def arguments(server: ChatServer, **settings: Any) -> list[str]:
    judge = {
        "model": "judge-1",
        "base_url": server.base_url,
        "price": {"input": 2, "output": 8},
        "max_tokens": 256,
    }
    return [
        *student_arguments(server.url),
        *("--tasks", ",".join(TASKS), "--apply_chat_template", "--limit", "4", "--json"),
        *metadata(**{"judge": judge, "concurrency": 4} | settings),
    ]


def spent(server: ChatServer) -> int:
    tokens = server.counts().tokens["judge"]
    return tokens["prompt"] + tokens["completion"]


def records(results: dict[str, Any]) -> list[dict[str, Any]]:
    return [results["configs"][task]["metadata"]["skillmix"] for task in TASKS]


def test_a_cap_holds_for_all_tasks_and_a_higher_one_goes_on(chat_server: ChatServer, tmp_path: Path):
    behaviour: dict[str, Any] = {"earn": 0.6, "models": MODELS, "json_schema": "refuse", "judge_latency": 0.02}
    chat_server.set(**behaviour)
    env = environment(tmp_path / "whole")
    unbroken = run("skillmix", "eval", *arguments(chat_server), env=env, cwd=tmp_path)
    assert unbroken.returncode == 0, unbroken.stderr
    assert chat_server.counts().received["judge"] - chat_server.counts().statuses.get("400", 0) == VOTES
    everything = spent(chat_server)

    chat_server.reset()
    chat_server.set(**behaviour)
    cap = round(everything * 0.7)
    env = environment(tmp_path / "home")
    done = run("skillmix", "eval", *arguments(chat_server, max_tokens=cap, max_missing=1), env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert cap - CALL < spent(chat_server) <= cap
    assert f"max_tokens = {cap} is reached" in done.stderr
    assert "judge-1: 36 votes to request (0 more are stored), about " in done.stderr
    results = json.loads(done.stdout)
    first, second = records(results)
    assert first["grading"]["budget"]["calls_not_sent"] == 0
    assert first["grading"]["vote_states"] == {"graded": 36}
    assert second["grading"]["vote_states"]["over_budget"] == second["grading"]["budget"]["calls_not_sent"] > 0
    assert second["grading"]["budget"]["run_tokens"] == spent(chat_server)
    assert set(second["points_without_verdict"]) == {"over_budget"}
    assert results["results"]["skillmix_k2"]["coverage,none"] == 1
    assert results["results"]["skillmix_k3"]["coverage,none"] < 1
    assert first["judge"]["refused_parameters"] == ["json_schema"]

    answers = sorted((tmp_path / "home" / "answers").glob("*.jsonl"))
    caps = ("--max-usd", "1", "--set", "max_tokens=null")
    done = run("skillmix", "grade", *answers, *caps, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert spent(chat_server) == everything  # not one vote was bought twice
    results = json.loads(done.stdout)
    assert results["results"] == json.loads(unbroken.stdout)["results"]
    first, second = records(results)
    assert (first["grading"]["calls"], first["grading"]["votes_from_store"]) == (0, 36)
    assert first["grading"]["saved"]["dollars"] > 0
    assert first["judge"]["refused_parameters"] == ["json_schema"]  # though nothing was asked
    assert second["grading"]["budget"]["max_usd"] == 1
    assert second["grading"]["budget"]["run_dollars"] > 0
    assert second["grading"]["budget"]["run_dollars"] == pytest.approx(second["grading"]["spent"]["dollars"])


def test_a_cap_that_leaves_too_much_out_says_how_to_go_on(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=MODELS)
    env = environment(tmp_path / "home")
    done = run("skillmix", "eval", *arguments(chat_server, max_usd=0.002), env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    [file] = (tmp_path / "home" / "answers").glob("skillmix_k2_*.jsonl")
    assert (
        f"max_usd = 0.002 is reached, and `skillmix grade {file} --max-usd DOLLARS` continues from here"
        in sentence
    )
    bought = chat_server.counts().received["judge"]
    done = run("skillmix", "grade", file, "--max-usd", "1", "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["configs"]["skillmix_k2"]["metadata"]["skillmix"]["grading"]
    assert (record["votes_from_store"], record["calls"]) == (bought, 36 - bought)
