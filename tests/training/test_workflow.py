"""The workflow of reproduce/ as a user starts it: with Snakemake on this machine, and on a SLURM of one node."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.servers.chat import ChatServer
from tests.training.experiments import (
    REPRODUCE,
    Workflow,
    kill,
    needs_snakemake,
    write_experiment,
)

pytestmark = [pytest.mark.slow, needs_snakemake, pytest.mark.timeout(1200)]

PLAYED: dict[str, Any] = {
    "models": ["teacher-1", "judge-1"],
    "earn": 0.9,
    "steady": True,
    "student": "one sentence",
}


@pytest.fixture
def server(new_chat_server: Callable[..., ChatServer]) -> ChatServer:
    return new_chat_server(**PLAYED)


def asked(server: ChatServer) -> dict[str, int]:
    """The requests of each kind; a server counts them all, whoever asks."""
    return dict(server.counts().received)


def tables(workflow: Workflow) -> dict[str, str]:
    """The tables by their names."""
    found = sorted((workflow.out / "tables").glob("*.md")) + sorted((workflow.out / "tables").glob("*.csv"))
    assert found
    return {file.name: file.read_text(encoding="utf-8") for file in found}


@contextmanager
def killed(process: subprocess.Popen[str]) -> Iterator[None]:
    """Kill it and all that it started when the block ends."""
    try:
        yield
    finally:
        kill(process)


def test_a_dry_run_lists_every_arm_of_the_paper(tmp_path: Path):
    workflow = Workflow(tmp_path / "run", REPRODUCE / "paper.yaml", tmp_path / "home")
    said = workflow.run("-n")
    counted = dict(re.findall(r"^(\w+) +(\d+)$", said, re.MULTILINE))
    assert counted == {
        "estimate": "1", "texts": "2", "train": "10", "answers": "12", "judge": "24", "tables": "1", "report": "1",
        "all": "1", "total": "52",
    }  # fmt: skip
    for arm in ("d-1", "d-1-2", "d-1-2-3", "8000-of-d-1-2-3", "d-1-2-3-plus-d-4"):
        assert f"mistral-7b-instruct-v0.2--{arm}--seed0" in said
    assert "gpu=4" in said


def test_an_experiment_that_is_wrong_is_refused_in_one_sentence(tmp_path: Path, server: ChatServer):
    file = write_experiment(tmp_path / "e", server)
    file.write_text(file.read_text().replace("arms:", "arms:\n  D(2): []"))
    process = Workflow(tmp_path / "run", file, tmp_path / "home").start("-n")
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert "Error: The experiment" in said
    assert "the arm D(2) names no data" in said
    assert "Traceback" not in said


def test_killed_twice_it_ends_with_the_same_tables_and_pays_for_nothing_twice(tmp_path: Path, server: ChatServer):
    experiment = write_experiment(tmp_path / "e", server)
    unbroken = Workflow(tmp_path / "unbroken", experiment, tmp_path / "home-1")
    unbroken.run()
    paid = asked(server)
    assert paid["student"] > 0
    assert paid["judge"] > 0
    server.reset()

    broken = Workflow(tmp_path / "broken", experiment, tmp_path / "home-2")
    # Once among the texts: the judge has let one reply go and holds the next ones.
    server.set(hold_after=1)
    with killed(broken.start()):
        server.wait(lambda counts: counts.held >= 1, timeout=300)
    held = server.counts()
    server.set(hold_after=None)
    # And once among the judged answers, of which there are more than texts have votes.
    server.set(hold_after=paid["judge"] // 2)
    with killed(broken.start()):
        server.wait(lambda counts: counts.held >= 1, timeout=500)
    again = server.counts()
    server.set(hold_after=None)
    broken.run()
    after = server.counts()
    assert tables(broken) == tables(unbroken)
    # A request that was killed before its reply was paid for by nobody, and is sent again.
    lost = held.held + again.held
    assert 1 <= lost <= after.abandoned["judge"] + 1
    assert after.replied == {"judge": paid["judge"], "student": paid["student"]}
