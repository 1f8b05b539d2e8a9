"""Several ranks, and several runs at once."""

from __future__ import annotations

import json
import re
import socket
from pathlib import Path
from typing import Any

import pytest

from tests.forks import Fork
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.ranked_model import run_rank
from tests.skillmix_tasks.running import MODELS, environment, run

pytestmark = pytest.mark.slow


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(
    folder: Path,
    home: Path,
    server: ChatServer,
    ranks: int,
    mode: str,
    limit: int = 5,
    model: Any = None,
    **settings: Any,
):
    """Start all ranks of a run; its results come to folder/results.json."""
    folder.mkdir()
    port = free_port()
    given: dict[str, Any] = {"skillmix": {"judge": "judge-1", "judge_base_url": server.base_url, **settings}}
    if model is not None:  # a model with a name keeps its replies
        given["model"] = model
    return [
        Fork(run_rank, rank, ranks, port, folder / "results.json", mode, limit, given, env=environment(home))
        for rank in range(ranks)
    ]


def finish(processes: list[Fork], *, status: int = 0) -> list[str]:
    ended = [process.wait(240) for process in processes]
    errors = [done.stderr for done in ended]
    assert ended[0].returncode == status, "\n\n".join(errors)
    return errors


def scores(results: dict[str, Any]) -> dict[str, float]:
    table = results["results"]["skillmix_k3"]
    return {name: value for name, value in table.items() if isinstance(value, float | int)}


@pytest.mark.parametrize("mode", ["chat", "plain"])
def test_two_ranks_give_the_table_of_one(chat_server: ChatServer, tmp_path: Path, mode: str):
    chat_server.set(earn=0.6, models=MODELS)
    results = {}
    for ranks in (1, 2):
        finish(start(tmp_path / f"{ranks}", tmp_path / f"home-{ranks}", chat_server, ranks, mode))
        results[ranks] = json.loads((tmp_path / f"{ranks}" / "results.json").read_text())
    one, two = results[1], results[2]
    table = scores(one)
    assert scores(two) == pytest.approx(table, rel=1e-12)  # sums of other orders
    assert 0 < table["skill_fraction,none"] < 1
    assert one["configs"]["skillmix_k3"]["metadata"]["skillmix"]["turns"] == (2 if mode == "chat" else 1)

    def by_item(run: dict[str, Any]) -> dict[int, list[str]]:
        return {sample["doc_id"]: [r[-1] for r in sample["resps"]] for sample in run["samples"]["skillmix_k3"]}

    assert len(two["samples"]["skillmix_k3"]) == 5  # none is counted twice
    assert by_item(two) == by_item(one)
    files = list((tmp_path / "home-2" / "answers").glob("*.jsonl"))
    assert sorted(len(file.read_text().splitlines()) - 1 for file in files) == [6, 9]
    # What grading cost is the sum over the ranks.
    record = two["configs"]["skillmix_k3"]["metadata"]["skillmix"]
    assert record["grading"]["calls"] == 45
    # One rank's answers are no run; all together they give the table again, for nothing.
    chat_server.reset()
    chat_server.set(earn=0.6, models=MODELS)
    env = environment(tmp_path / "home-2")
    done = run("skillmix", "grade", files[0], env=env, cwd=tmp_path)
    assert done.returncode == 1
    assert "a run of 2 ranks" in done.stderr
    done = run("skillmix", "grade", *files, "--json", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert scores(json.loads(done.stdout)) == pytest.approx(table, rel=1e-12)
    assert chat_server.counts().received["judge"] == 0


def test_two_ranks_generate_nothing_twice(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=0.6, models=MODELS)
    home, asked, results = tmp_path / "home", [], []
    for name, ranks in (("a", 2), ("b", 2), ("c", 1)):
        ended = [
            process.wait(240)
            for process in start(tmp_path / name, home, chat_server, ranks, "chat", limit=3, model="m-1", votes=1)
        ]
        assert {done.returncode for done in ended} == {0}, ended[0].stderr
        asked.append(sum(int(n) for done in ended for n in re.findall(r"^asked (\d+)", done.stdout, re.MULTILINE)))
        results.append(json.loads((tmp_path / name / "results.json").read_text())["results"])
    assert asked[0] >= 3 * 3 * 2  # and padding
    assert asked[1:] == [0, 0]
    assert results[0] == results[1] == results[2]


def test_the_first_rank_judges_the_controls(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=1.0, models=MODELS)
    settings: dict[str, Any] = {"controls": True, "votes": 1}
    errors = finish(start(tmp_path / "run", tmp_path / "home", chat_server, 2, "chat", limit=2, **settings))
    assert chat_server.counts().received["judge"] == 12 + 6
    results = json.loads((tmp_path / "run" / "results.json").read_text())
    record = results["configs"]["skillmix_k3"]["metadata"]["skillmix"]
    assert (record["controls"]["passed"], record["controls"]["of"]) == (6, 12)
    assert record["grading"]["calls"] == 12 + 6
    assert ["Controls failed" in error for error in errors] == [True, False]


def test_a_run_that_fails_leaves_no_rank_waiting(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(models=MODELS, judge_faults={"refusal": 1.0})
    errors = finish(start(tmp_path / "run", tmp_path / "home", chat_server, 2, "chat"), status=1)
    assert "of the items got no verdict" in errors[0].splitlines()[-1]


def test_two_runs_at_once_share_the_store(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=0.6, models=MODELS)
    runs = [start(tmp_path / name, tmp_path / "home", chat_server, 1, "chat", limit=4) for name in "ab"]
    for processes in runs:
        finish(processes)
    tables = [json.loads((tmp_path / name / "results.json").read_text())["results"] for name in "ab"]
    assert tables[0] == tables[1]
    assert 36 <= chat_server.counts().received["judge"] <= 72
