"""The Hub's own leaderboards: the files that the documentation asks for, and pull requests on models of others."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from huggingface_hub import eval_result_entries_to_yaml, parse_eval_result_entries

from grading.models.judge import default_judge
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_version
from tests.hub_cards.driving import drive
from tests.servers.hub.server import HubServer
from tests.servers.hub.validation import eval_faults

pytestmark = pytest.mark.slow
RESULTS = ".eval_results/skillmix.yaml"


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What leaderboard_round_trip.py tells, with its folder and the Hub."""
    folder = tmp_path_factory.mktemp("leaderboards")
    with HubServer() as hub:
        yield drive("leaderboard_round_trip", hub.environment(folder), folder) | {"folder": folder, "hub": hub}


def test_the_benchmark_has_a_leaderboard_for_each_task_and_one_pinned_judge(told: dict[str, Any]):
    files = told["hub"].repo("dataset", "org/skillmix").files
    described = yaml.safe_load(files["eval.yaml"])
    assert eval_faults({"eval.yaml": files["eval.yaml"]}, "dataset") == []
    ours = {name for name, spec in bundled_tasks().items() if spec.pack == "language"}
    assert {task["id"] for task in described["tasks"]} == ours
    configs = {path.split("/")[1] for path in files if path.startswith("data/")}
    assert {task["config"] for task in described["tasks"]} <= {name.removesuffix(".parquet") for name in configs}
    pinned = json.loads(files["judge.json"])
    assert pinned == {"judge": "synthetic-judge", "votes": 3, "task_version": tasks_version()}
    assert "percent" in described["description"]
    assert "synthetic-judge" in described["description"]


def test_the_loopback_hub_refuses_what_the_documentation_does():
    described: dict[str, Any] = {
        "name": "n",
        "description": "d",
        "evaluation_framework": "unheard-of",
        "tasks": [],
    }
    assert eval_faults({"eval.yaml": yaml.safe_dump(described).encode()}, "dataset")
    entry = {"dataset": {"id": "org/set"}, "value": "high"}
    assert eval_faults({RESULTS: yaml.safe_dump([entry]).encode()}, "model")


def test_results_of_somebody_elses_model_become_a_pull_request_and_no_commit(told: dict[str, Any]):
    stored = told["hub"].repo("model", "others/small")
    assert len(stored.commits) == 1  # the Hub's own
    assert stored.files.keys() == {".gitattributes"}
    assert told["request"]["pull_request"].endswith("/others/small/discussions/1")
    first = stored.requests[0]
    assert "README.md" not in first
    assert {path.split("/")[-1] for path in first if path.startswith("evaluation/skillmix_k2/")} == {
        "results.json",
        "samples.jsonl",
    }
    assert "with --pr opens a pull request" in told["no right"]
    assert "/others/large/discussions/1 asks to add 9 files to " in told["large"]


def test_entries_are_read_by_the_hubs_client_and_hold_score_date_judge_and_source(told: dict[str, Any]):
    content = told["hub"].repo("model", "others/large").requests[0][RESULTS]
    data = yaml.safe_load(content)
    entries = parse_eval_result_entries(data)
    assert eval_result_entries_to_yaml(entries) == data
    assert [entry.task_id for entry in entries] == ["skillmix_k2", "skillmix_k3", "skillmix_k4", "skillmix_k5"]
    [file] = (told["folder"] / "results" / "synthetic-large").glob("results_*.json")
    scores = json.loads(file.read_text())["results"]
    for entry in entries:
        assert entry.dataset_id == "org/skillmix"
        assert entry.value == pytest.approx(100 * scores[entry.task_id]["full_marks,none"], abs=0.006)
        assert entry.date == "2026-01-01T00:00:00Z"
        assert entry.notes is not None
        for fact in ("full marks", "judge synthetic-judge, 3 votes", "2 turns, best of 3", "6 of 6 items"):
            assert fact in entry.notes
        assert entry.source_url is not None
        assert entry.source_url.endswith(f"/evaluation/{entry.task_id}/synthetic-judge/samples.jsonl")
    assert [one["task_id"] for one in told["entries"]] == [entry.task_id for entry in entries]


def test_only_results_of_the_pinned_judge_are_ranked(told: dict[str, Any]):
    second = told["hub"].repo("model", "others/small").requests[1]
    assert RESULTS not in second
    assert len(told["other judge"]["notes"]) == 4
    assert f"org/other ranks results of the judge {default_judge()}" in told["other judge"]["notes"][0]
    assert "others/large" in told["not a benchmark"]


def test_a_space_shows_the_hubs_rows_beside_local_results(told: dict[str, Any]):
    assert {row["model"] for row in told["rows"]} == {"others/large", "others/small"}
    table = told["hub"].repo("space", "org/board").files["leaderboard.md"].decode()
    assert "the Hub's leaderboard of org/skillmix" in table
    assert "others/large (pull request 1)" in table
    assert "synthetic-large" in table
    assert "name them with --results" in told["alone"]


def test_a_dry_run_needs_no_token_and_says_what_it_did_not_look_at(told: dict[str, Any], tmp_path: Path):
    assert "evaluation/skillmix_k2/synthetic-judge/samples.jsonl" in told["dry"]["files"]
    [note] = (note for note in told["dry"]["notes"] if "Nothing was looked at on the Hub" in note)
    assert "Nor is .eval_results/skillmix.yaml" in note
    assert "eval.yaml" in told["dry set"]["files"]
    assert told["dry space"] == 0
