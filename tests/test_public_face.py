"""What a user's own script meets: names, versions, types, and what an import loads."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PACKAGES = ("grading", "skillmix_tasks", "training", "hub_cards")
HEAVY = ("torch", "transformers", "lm_eval", "datasets", "openai", "aiohttp", "scipy", "matplotlib", "trl")
MOST = 1.5  # seconds of CPU for both imports; 0.7 on a quiet machine

SCRIPT = """
import asyncio

from grading import Criterion, GradingRequest, Panel, UserError, Verdict, open_judge
from skillmix_tasks import Score, TaskItem, item_metrics, score_answers, task_items


def rewards(judge: Panel, texts: list[str]) -> list[float | None]:
    verdicts: list[Verdict] = judge.grade_texts(texts, {"rain": "It is about rain."}, context="Write of rain.")
    earned: bool | None = verdicts[0].earned["rain"]
    quotes: list[str] = verdicts[0].evidence("rain")
    print(earned, quotes)
    return [verdict.share for verdict in verdicts]


async def later(judge: Panel) -> Verdict:
    request = GradingRequest("Write of rain.", (Criterion("rain", "It is about rain."),), "It poured.")
    [verdict] = await judge.agrade([request])
    return verdict


def scored(judge: Panel) -> float | None:
    items: list[TaskItem] = task_items("skillmix_k2", number=1)
    prompts: list[str] = items[0].prompts(1)
    scores: list[Score] = score_answers(items, prompts, judge)
    best: dict[str, float] = item_metrics([one.points for one in scores])
    print(best, items[0].item.topic.name)
    return scores[0].full_marks


try:
    judge = open_judge({"model": "m", "votes": 1}, base_url="http://localhost:8000/v1", max_usd=1.0)
    print(rewards(judge, ["It poured."]), asyncio.run(later(judge)), scored(judge))
except UserError as error:
    print(error)
"""
WRONG = (
    SCRIPT
    + """
number: int = rewards(judge, ["It poured."])[0]
judge.grade_texts("It poured.", ["rain"])
"""
)


@pytest.mark.parametrize("name", PACKAGES)
def test_a_package_is_typed_and_says_what_it_exports(name: str):
    package = importlib.import_module(name)
    assert (ROOT / name / "py.typed").is_file()
    assert package.__version__ == version("skillmix-tasks")
    assert sorted(package.__all__) == sorted(set(package.__all__))
    for exported in package.__all__:
        one = getattr(package, exported)
        assert exported == "__version__" or one.__doc__ or exported == "UngroundedRule", exported


@pytest.mark.slow
def test_an_import_is_light():
    script = (
        "import time; start = time.process_time(); import sys, grading, skillmix_tasks; "
        "seconds = time.process_time() - start; skillmix_tasks.task_items('skillmix_k2', number=1)[0].prompts(); "
        f"print(seconds, *({set(HEAVY)!r} & sys.modules.keys()))"
    )
    seconds = []
    for _ in range(3):  # other processes' cache misses count as ours
        out = subprocess.run(
            [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True, timeout=100
        ).stdout.split()
        assert out[1:] == []
        seconds.append(float(out[0]))
        if seconds[-1] <= MOST:
            break
    assert min(seconds) <= MOST


@pytest.mark.slow
def test_a_script_of_a_users_is_checked_by_mypy(tmp_path: Path):
    """As an installed package is: without `py.typed` every name of ours would be Any."""
    assert _mypy(tmp_path, SCRIPT) == ""
    found = _mypy(tmp_path, WRONG)
    assert "[assignment]" in found  # None is no number
    assert '"grade_texts" of "Panel"' in found


def _mypy(folder: Path, script: str) -> str:
    """What mypy says of a strict script in an empty folder, about that script alone."""
    (folder / "script.py").write_text(script)
    # On PYTHONPATH a package counts as installed, and needs its mark.
    env = dict(os.environ) | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", "mypy", "--strict", "--no-error-summary", "script.py"]
    done = subprocess.run(command, cwd=folder, env=env, capture_output=True, text=True, timeout=300, check=False)
    return done.stdout + done.stderr
