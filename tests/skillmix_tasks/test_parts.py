"""Stored answers are graded in parts, and the results are those of one go."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from skillmix_tasks.commands import regrade as regrade_module
from skillmix_tasks.commands.regrade import regrade
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.stored.answers import AnswerHeader, StoredAnswer, write_answers
from tests.servers.chat import ChatServer, student_text
from tests.skillmix_tasks.running import MODELS, Results, read_output

pytestmark = pytest.mark.slow

ITEMS, VOTES = 7, 7 * 3 * 3  # of each task
TASKS = {"skillmix_k2": 2, "skillmix_k3": 3}
CALL = 4000  # tokens that a call may use at most: as many as its prompt has bytes, and max_tokens


@pytest.fixture
def files(tmp_path: Path) -> list[Path]:
    """Stored answers to two tasks."""
    return [answers(tmp_path / "answers", task, k) for task, k in TASKS.items()]


def answers(folder: Path, task: str, k: int, replies: int = 2) -> Path:
    pack = load_pack("language")
    items = sample_items(pack, task=task, k=k, split="all", seed=0, number=ITEMS)
    header = AnswerHeader(
        task=task,
        version="1.0",
        student={"model": "student-1"},
        settings={"items": 100},
        judge={"model": "judge-1"},
        pack_hash=pack.hash,
        turns=replies,
        system_instruction=None,
        generation_kwargs={},
        rank=0,
        world_size=1,
    )
    stored = [
        StoredAnswer(
            index=index,
            hash=item.hash,
            generation=generation,
            replies=tuple(
                student_text([{"role": "user", "content": f"{item.id}\u2028{turn}"}], generation)
                for turn in range(replies)
            ),
        )
        for index, item in enumerate(items)
        for generation in range(3)
    ]
    # The order of the lines is not the one of the items.
    return write_answers(folder, header, stored[::-1])


@pytest.fixture
def grade(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, files: list[Path]):
    """Grade the answers with an empty store, in parts of so many items."""
    chat_server.set(earn=0.6, prompt_cache=False, models=MODELS)

    def run(items: int, home: str = "", **settings: Any) -> tuple[dict[str, Any], Results]:
        name = home or f"{items}"
        monkeypatch.setattr(regrade_module, "_PART", items)
        monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / name))
        judge = {"model": "judge-1", "base_url": chat_server.base_url, "price": {"input": 2, "output": 8}}
        results = regrade(files, {"judge": judge, "concurrency": 4} | settings, output=tmp_path / "out" / name)
        return results, read_output(tmp_path / "out" / name)

    return run


def compared(output: Results) -> Any:
    """All that two runs of the same work have in common."""
    times = {"date", "start_time", "end_time", "total_evaluation_time_seconds", "pretty_env_info"}
    results = {name: value for name, value in output.results.items() if name not in times}
    for config in results["configs"].values():
        # What is expected of a part follows from the replies to those before it.
        del config["metadata"]["skillmix"]["grading"]["estimate"]
    return results, output.samples


def test_parts_give_the_results_of_one_go(grade, chat_server: ChatServer, tmp_path: Path):
    _, whole = grade(100)
    assert chat_server.counts().received["judge"] == 2 * VOTES
    _, parts = grade(3)
    assert chat_server.counts().received["judge"] == 4 * VOTES
    assert compared(parts) == compared(whole)
    assert {task: len(samples) for task, samples in parts.samples.items()} == dict.fromkeys(TASKS, ITEMS)
    for task in TASKS:
        assert 0 < whole.results["results"][task]["skill_fraction,none"] < 1
        assert parts.results["configs"][task]["metadata"]["skillmix"]["grading"]["calls"] == VOTES
    assert len(list((tmp_path / "out" / "3").rglob("*"))) == 1 + 3  # nothing but the folder and its files


def test_samples_of_parts_are_answers_too(grade, tmp_path: Path, chat_server: ChatServer):
    first, written = grade(3, home="home")
    received = chat_server.counts().received["judge"]
    judge = {"model": "judge-1", "base_url": chat_server.base_url}
    again = regrade(list(written.sample_files.values()), {"judge": judge})
    assert again["results"] == first["results"]
    assert chat_server.counts().received["judge"] == received


def test_what_is_missing_counts_over_all_parts(grade, chat_server: ChatServer):
    """A part may lack all verdicts where the whole run lacks few."""
    chat_server.set(judge_faults={"refusal": 0.35}, fault_lasts=True)
    whole, output = grade(100, max_missing=0.9)
    covered = {task: [sample["coverage"] for sample in samples] for task, samples in output.samples.items()}
    assert any(0 in of_task and 1 in of_task for of_task in covered.values())
    parts, _ = grade(2, max_missing=0.9)
    assert json.dumps(parts["results"]) == json.dumps(whole["results"])  # where NaN is equal to itself
    skillmix = [run["configs"]["skillmix_k3"]["metadata"]["skillmix"] for run in (whole, parts)]
    assert skillmix[0]["points_without_verdict"] == skillmix[1]["points_without_verdict"] != {}


def test_a_cap_holds_for_all_parts_and_is_told_once(
    grade, chat_server: ChatServer, caplog: pytest.LogCaptureFixture
):
    grade(100)
    tokens = chat_server.counts().tokens["judge"]
    cap = (tokens["prompt"] + tokens["completion"]) // 4
    chat_server.reset()
    chat_server.set(earn=0.6, prompt_cache=False, models=MODELS)
    caplog.clear()  # a test before may have let the logs of the first run through
    with caplog.at_level("INFO"):
        results, _ = grade(2, max_tokens=cap, max_missing=1)
    tokens = chat_server.counts().tokens["judge"]
    assert cap - CALL < tokens["prompt"] + tokens["completion"] <= cap
    records = [results["configs"][task]["metadata"]["skillmix"]["grading"] for task in TASKS]
    assert records[0]["vote_states"]["over_budget"] > 0
    assert records[1]["vote_states"] == {"over_budget": VOTES}
    assert records[1]["budget"]["calls_not_sent"] == 2 * VOTES - chat_server.counts().received["judge"]
    told = [record.message for record in caplog.records if "is reached" in record.message]
    assert len(told) == 2, "once for each task"
    [first, second] = [record.message for record in caplog.records if "votes to request" in record.message]
    assert f"judge-1: {VOTES} votes to request (0 more are stored)" in first
    assert "estimated from the first 6 of up to 21 answers" in first
    assert f"judge-1: {VOTES} votes to request" in second


def test_a_part_that_fails_leaves_no_files_and_what_was_bought_is_kept(grade, chat_server: ChatServer, tmp_path):
    chat_server.set(judge_faults={"refusal": 1.0})
    with pytest.raises(UserError, match="100% of the items got no verdict"):
        grade(3, home="home")
    assert [path for path in (tmp_path / "out").rglob("*") if not path.is_dir() or path.name[0] == "."] == []
    received = chat_server.counts().received["judge"]
    with pytest.raises(UserError, match="100% of the items got no verdict"):
        grade(3, home="home")
    assert chat_server.counts().received["judge"] == received + 2 * VOTES  # each lost vote is asked once more
