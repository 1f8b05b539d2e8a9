"""The workflow of reproduce/ as a user starts it: with Snakemake on this machine, and on a SLURM of one node."""

from __future__ import annotations

import re
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.servers.chat import ChatServer
from tests.servers.slurm import Slurm, why_not
from tests.training.experiments import (
    REPRODUCE,
    Workflow,
    kill,
    needs_snakemake,
    write_experiment,
)

# An experiment has 13 commands, each of which imports what it needs: half a minute on two idle cores.
pytestmark = [pytest.mark.slow, needs_snakemake, pytest.mark.timeout(1500)]

# Without a database of accounts SLURM has no accounts, and no sacct that would know how jobs ended.
ON_SLURM = (
    *("--slurm-no-account", "--slurm-status-command", "squeue"),
    *("--slurm-init-seconds-before-status-checks", "2", "--seconds-between-status-checks", "2"),
)


@dataclass(frozen=True)
class Unbroken:
    """An experiment that was run without a stop: its tables, and the requests that it took."""

    server: ChatServer
    experiment: Path
    tables: dict[str, str]
    paid: dict[str, int]


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Unbroken]:
    folder = tmp_path_factory.mktemp("unbroken")
    with ChatServer(models=["teacher-1", "judge-1"], earn=0.9, steady=True, student="one sentence") as server:
        experiment = write_experiment(folder / "experiment", server)
        workflow = Workflow(folder / "run", experiment, folder / "home")
        workflow.run()
        counts = server.counts()
        assert min(counts.received.values()) > 0
        assert counts.replied == counts.received
        yield Unbroken(server, experiment, tables(workflow), counts.replied)


def tables(workflow: Workflow) -> dict[str, str]:
    """The tables by their names."""
    folder = workflow.out / "tables"
    found = [file for ending in ("md", "csv") for file in sorted(folder.rglob(f"*.{ending}"))]
    assert found
    return {str(file.relative_to(folder)): file.read_text(encoding="utf-8") for file in found}


@contextmanager
def killed(process: subprocess.Popen[str], jobs: Callable[[], None] = lambda: None) -> Iterator[None]:
    """Kill it and all that it started when the block ends; `jobs` ends those that run elsewhere."""
    try:
        yield
    finally:
        kill(process)
        jobs()


def wait_until(condition: Callable[[], bool], timeout: float = 60) -> None:
    """Wait until it holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline
        time.sleep(0.1)


def break_twice(
    unbroken: Unbroken, workflow: Workflow, *options: str, jobs: Callable[[], None] = lambda: None
) -> None:
    """Run the experiment with two kills, and check that every request is paid for once."""
    server = unbroken.server
    server.reset()
    # Once among the texts, and once among the judged answers, of which there are more than texts have votes.
    for replies in (1, unbroken.paid["judge"] // 2):
        server.set(hold_after=replies)
        process = workflow.start(*options)
        with killed(process, jobs):
            counts = server.wait(lambda counts: counts.held >= 1, timeout=600)
            # A reply that has left the server is paid for; those that wait are not, as nobody gets them.
            wait_until(lambda: workflow.stored() == sum(counts.replied.values()))  # noqa: B023
        server.wait(lambda counts: not any(counts.in_flight.values()))
        server.release()
    workflow.run(*options, timeout=900)
    assert tables(workflow) == unbroken.tables
    after = server.counts()
    assert after.replied == unbroken.paid
    # All that was asked for beside it was waiting when its sender was killed.
    assert after.received == {role: after.replied[role] + after.abandoned[role] for role in after.replied}
    assert after.abandoned["judge"] > 0


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


def test_an_experiment_that_is_wrong_is_refused_in_one_sentence(tmp_path: Path):
    file = tmp_path / "experiment.yaml"
    file.write_text((REPRODUCE / "planning.yaml").read_text().replace("arms:", "arms:\n  D(2): []"))
    process = Workflow(tmp_path / "run", file, tmp_path / "home").start("-n")
    said, _ = process.communicate(timeout=300)
    assert process.returncode != 0
    assert f"Error: The experiment {file} is wrong: the arm D(2) names no data" in said
    assert "Traceback" not in said


@pytest.mark.skipif(why_not() is None, reason="the test on SLURM shows the same")
def test_killed_twice_it_ends_with_the_same_tables_and_pays_for_nothing_twice(unbroken: Unbroken, tmp_path: Path):
    break_twice(unbroken, Workflow(tmp_path / "run", unbroken.experiment, tmp_path / "home"))


@pytest.mark.cluster
@pytest.mark.skipif(why_not() is not None, reason=f"needs a SLURM: {why_not()}")
def test_on_slurm_it_is_the_same(unbroken: Unbroken, tmp_path: Path):
    with Slurm() as slurm:
        workflow = Workflow(tmp_path / "run", unbroken.experiment, tmp_path / "home", profile="slurm")
        break_twice(unbroken, workflow, *ON_SLURM, jobs=slurm.cancel_all)
