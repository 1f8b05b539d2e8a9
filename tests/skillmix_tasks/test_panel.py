"""A panel of judges behind two endpoints, from `skillmix eval` to the samples, and graded again by one judge."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import MODELS, environment, metadata, read_output, run, student_arguments

pytestmark = pytest.mark.slow

PRICE = {"input": 2, "output": 8}


def test_a_panel_judges_a_task(new_chat_server: Callable[..., ChatServer], tmp_path: Path):
    kind = new_chat_server(earn=0.9, n="honour", models=MODELS)
    strict = new_chat_server(earn=0.5, refuse_params=["seed"], models=MODELS)
    judges = [
        {"model": "judge-1", "base_url": kind.base_url, "votes": 3, "price": PRICE},
        {"model": "judge-2", "base_url": strict.base_url, "votes": 1, "price": PRICE},
    ]
    command = [
        *("skillmix", "eval", *student_arguments(kind.url), "--tasks", "skillmix_k2", "--apply_chat_template"),
        *("--limit", "4", "--json", "--log_samples", "--output_path", str(tmp_path / "out")),
        *metadata(judge=judges, max_usd=5, max_missing=1),
    ]
    env = environment(tmp_path / "home")
    done = run(*command, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    output = read_output(tmp_path / "out")
    record = output.results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert [judge["model"] for judge in record["judge"]["panel"]] == ["judge-1", "judge-2"]
    assert record["judge"]["votes"] == 4
    cost = record["grading"]
    assert {name: judge["calls"] for name, judge in cost["by_judge"].items()} == {"judge-1": 36, "judge-2": 12}
    assert kind.counts().received["judge"] == 12  # three votes each
    assert cost["by_judge"]["judge-2"]["refused_parameters"] == ["seed"]
    assert cost["calls"] == 48
    assert cost["spent"]["dollars"] == pytest.approx(cost["budget"]["run_dollars"])
    assert cost["spent"]["dollars"] > 0

    tied = 0
    for sample in output.samples["skillmix_k2"]:
        for generation in map(json.loads, sample["filtered_resps"]):
            assert Counter(vote["judge"] for vote in generation["votes"]) == {"judge-1": 3, "judge-2": 1}
            for point, earned in generation["points"].items():
                if point in generation["lost_in_code"] or point == "length":
                    continue
                granted = sum(vote["marks"][point]["earned"] for vote in generation["votes"])
                assert earned is (None if granted == 2 else granted > 2)
                tied += granted == 2
    assert record["points_without_verdict"] == {"tied": tied}
    assert tied > 0

    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    asked = kind.counts().received["judge"], strict.counts().received["judge"]
    again = run("skillmix", "grade", answers, "--json", env=env, cwd=tmp_path)
    assert json.loads(again.stdout)["results"] == json.loads(done.stdout)["results"]
    assert (kind.counts().received["judge"], strict.counts().received["judge"]) == asked
    alone = run(
        *("skillmix", "grade", answers, "--judge", "judge-1", "--judge-base-url", kind.base_url),
        *("--set", "max_usd=null", "--json"),
        env=env,
        cwd=tmp_path,
    )
    [config] = json.loads(alone.stdout)["configs"].values()
    assert config["metadata"]["skillmix"]["judge"]["model"] == "judge-1"
    assert config["metadata"]["skillmix"]["grading"]["calls"] == 0
