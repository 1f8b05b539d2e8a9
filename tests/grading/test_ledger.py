"""One cap for several processes."""

from __future__ import annotations

import json
import multiprocessing
import os
from pathlib import Path

import pytest

from grading import Budget, UserError
from grading.cost.budget import Cost
from grading.cost.ledger import BUDGET_VARIABLE, Ledger


def dollars(folder: Path) -> float:
    return sum(float(json.loads(file.read_text())["dollars"]) for file in folder.glob("*.json"))


def test_parts_of_a_cap_never_add_up_to_more(tmp_path: Path):
    first, second = Ledger(tmp_path), Ledger(tmp_path)
    assert first.claim(10, 1) == pytest.approx(1.1)  # what is needed, and a hundredth of the cap
    assert second.claim(10, 8) == pytest.approx(8.1)
    assert first.claim(10, 2) == 0
    assert first.claim(10, 1.8) == pytest.approx(1.9)
    assert dollars(tmp_path) == pytest.approx(10)
    second.close(3)
    assert first.claim(10, 6) == pytest.approx(6.1)
    assert dollars(tmp_path) == pytest.approx(9.1)


def test_a_budget_stays_within_what_others_leave(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(BUDGET_VARIABLE, str(tmp_path))
    Ledger(tmp_path).claim(10, 7)
    budget = Budget(max_usd=10)
    one = Cost(100, 1.0)
    assert budget.reserve(one)
    assert budget.reserve(one)
    assert not budget.reserve(one)
    budget.settle(one, Cost(10, 0.1))
    assert budget.reserve(one)
    assert f"max_usd = 10 for all commands with the budget {tmp_path} is reached" == budget.reason
    # Without a cap in dollars there is nothing to share.
    assert Budget(max_tokens=5).reserve(Cost(5, 100.0))


def spend(folder: Path, times: int) -> None:
    """A process that spends a dollar as often as it may, up to `times`."""
    os.environ[BUDGET_VARIABLE] = str(folder)
    budget = Budget(max_usd=20)
    for _ in range(times):
        if budget.reserve(Cost(1, 1.0)):
            budget.settle(Cost(1, 1.0), Cost(1, 1.0))
    (folder / f"spent-{os.getpid()}").write_text(str(budget.spent.dollars))


@pytest.mark.slow
def test_several_processes_spend_the_cap_and_no_more(tmp_path: Path):
    forks = multiprocessing.get_context("fork")
    processes = [forks.Process(target=spend, args=(tmp_path, 15)) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join(60)
    spent = sum(float(file.read_text()) for file in tmp_path.glob("spent-*"))
    assert 18 <= spent <= 20  # what others have claimed and not yet spent is nobody else's


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    (tmp_path / "other.json").write_text("[]")
    with pytest.raises(UserError, match=r"other.json is not part of a budget"):
        Ledger(tmp_path).claim(1, 1)
