"""The same answers get the same scores through lm-eval and through inspect_ai, from the same judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, metadata, read_output, run

# inspect_ai has another fsspec than datasets: SKILLMIX_TEST_INSPECT names the Python of an environment with it.
PYTHON = os.environ.get("SKILLMIX_TEST_INSPECT") or (sys.executable if find_spec("inspect_ai") else None)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PYTHON is None, reason="inspect_ai is not installed: pip install '.[inspect]'"),
]
STUDENTS, ITEMS, ROOT = ("one", "two", "three"), 4, Path(__file__).parents[2]


def test_equal_scores_for_the_answers_of_three_students(tmp_path: Path):
    given: dict[str, dict[str, list[list[str]]]] = {}
    scores = {}
    with ChatServer(earn=0.8, models=[*STUDENTS, "judge-1"]) as server:
        env = environment(tmp_path, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=server.base_url)
        for student in STUDENTS:
            done = run(
                *("skillmix", "eval", "--model", "local-chat-completions", "--apply_chat_template"),
                *("--model_args", f"model={student},base_url={server.url},num_concurrent=4,max_retries=1"),
                *("--tasks", "skillmix_k2", "--limit", str(ITEMS), "--output_path", student, "--log_samples"),
                *metadata(),
                env=env,
                cwd=tmp_path,
            )
            assert done.returncode == 0, done.stderr
            output = read_output(tmp_path / student)
            scores[student] = output.results["results"]["skillmix_k2"]
            given[student] = {}
            [samples] = (tmp_path / student).glob("**/samples_skillmix_k2*.jsonl")
            for line in samples.read_text(encoding="utf-8").splitlines():
                sample = json.loads(line)
                asked = json.loads(sample["arguments"]["gen_args_0"]["arg_0"][0])[0]["content"]
                given[student][asked] = sample["resps"]
        answers = tmp_path / "answers.json"
        answers.write_text(json.dumps({"items": ITEMS, "students": given}), encoding="utf-8")
        assert PYTHON is not None
        side = subprocess.run(
            [PYTHON, "-m", "tests.skillmix_tasks.inspect_side", str(answers), server.base_url],
            env=env | {"PYTHONPATH": str(ROOT)},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
    assert side.returncode == 0, side.stderr[-3000:]
    told = json.loads(side.stdout.splitlines()[-1])
    for student in STUDENTS:
        for metric in ("full_marks", "all_skills", "skill_fraction"):
            found = told[student][metric]
            assert found["mean"] == pytest.approx(scores[student][f"{metric},none"]), (student, metric)
            assert found["stderr"] == pytest.approx(scores[student][f"{metric}_stderr,none"])
