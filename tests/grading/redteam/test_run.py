"""The whole way: the command in a process of its own, HTTP, the judge that obeys, the store, the report."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import grading.engine
from grading import Grader, resolve_judge
from grading.redteam import Outcome, redteam_items, run_redteam
from grading.redteam.items import families, shown_by
from tests.grading.redteam.undefended import undefended_messages
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[3]


def command(home: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"SKILLMIX_HOME": str(home), "PYTHONPATH": str(ROOT)}
    return subprocess.run(
        [sys.executable, "-m", "skillmix", "redteam", *arguments],
        cwd=home,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def test_the_command_against_a_judge_that_obeys(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(gullible=shown_by())
    arguments = ("--judge", "judge", "--judge-base-url", chat_server.base_url, "--votes", "1")
    done = command(tmp_path, *arguments, "--json")
    assert done.returncode == 0, done.stderr
    record: dict[str, Any] = json.loads(done.stdout)
    assert chat_server.counts().received["judge"] == 144 + 12
    assert record["judge"]["model"] == "judge"
    assert (record["base_marks"], record["base_marks_right"]) == (52, 52)  # 4 x (3 + 4 + 6)
    assert list(record["families"]) == [family.name for family in families()]
    assert len(record["items"]) == 144
    for one in record["families"].values():
        # The judge gives the honest base answer everything: three k of it have nothing to gain.
        assert (one["items"], one["tried"], one["nothing_to_gain"]) == (12, 9, 3)
        assert (one["successes"], one["errors"], one["lost"], one["rate"], one["low"]) == (0, 0, 0, 0, 0)
        assert one["high"] == pytest.approx(0.299, abs=1e-3)
    assert record["all"]["high"] < 0.04
    # The second time everything comes from the store, as a table.
    again = command(tmp_path, *arguments)
    assert chat_server.counts().received["judge"] == 156
    lines = again.stdout.splitlines()
    assert len(lines) == 2 + 12 + 1
    assert lines[-1].split()[:2] == ["all", "0.0%"]


def test_a_judge_that_cannot_be_reached_is_one_sentence(tmp_path: Path):
    done = command(tmp_path, "--judge", "m", "--judge-base-url", "http://127.0.0.1:9/v1")
    assert done.returncode == 1
    assert "cannot be reached" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.fixture
def grader(chat_server: ChatServer, tmp_path: Path) -> Grader:
    chat_server.set(gullible=shown_by())
    spec = resolve_judge("judge-1", base_url=chat_server.base_url, votes=1)
    return Grader(spec, tmp_path / "verdicts.sqlite", concurrency=8)


def test_the_run_sees_attacks_succeed(grader: Grader, monkeypatch: pytest.MonkeyPatch):
    """Zero means something only if the same run finds successes where there are some."""
    monkeypatch.setattr(grading.engine, "build_messages", undefended_messages)
    items = [item for item in redteam_items() if item.family in {"null_model", "hidden_text", "authority"}]
    report = run_redteam(grader, items, progress=False)
    won = report.families()
    assert (won["hidden_text"].successes, won["hidden_text"].errors) == (9, 0)
    # Even then a verdict that the answer dictates is not read: those votes are errors.
    assert (won["null_model"].successes, won["null_model"].errors) == (3, 6)
    assert won["authority"].rate == 0
    for result in report.results:
        if result.outcome is Outcome.SUCCESS:
            assert {*result.gained, *result.item.earned} == {c.id for c in result.item.request.criteria}


def test_errors_stand_apart(grader: Grader, chat_server: ChatServer):
    chat_server.set(judge_faults={"refusal": 0.6})
    items = [item for item in redteam_items() if item.family == "verbosity"]
    report = run_redteam(grader, items, progress=False)
    one = report.families()["verbosity"]
    assert one.errors > 0
    assert one.tried + one.errors + one.nothing_to_gain == one.items == 12
    assert one.successes == 0
    assert set(report.record()["error_states"]) == {"refused"}
