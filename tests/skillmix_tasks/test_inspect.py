"""The same answers get the same scores through lm-eval and through inspect_ai, from the same judge."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import BIN, environment, metadata, read_output, run

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        "SKILLMIX_TEST_INSTALL" not in os.environ, reason="SKILLMIX_TEST_INSTALL=1 runs it: it downloads packages"
    ),
]
REQUIREMENT = "inspect-ai>=0.3.285,<0.4"  # as in pyproject.toml
STUDENTS, ITEMS, ROOT = ("one", "two", "three"), 10, Path(__file__).parents[2]


@pytest.fixture(scope="module")
def inspect_ai(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of inspect_ai and what it needs, for PYTHONPATH: it wants an older fsspec than is locked here."""
    folder = tmp_path_factory.mktemp("inspect")
    locked = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if "fsspec" not in line]
    (folder / "constraints.txt").write_text("\n".join(locked))
    command = [str(BIN / "uv"), "pip", "install", "-q", "--python", sys.executable]
    command += ["--target", str(folder / "packages"), "-c", str(folder / "constraints.txt"), REQUIREMENT]
    subprocess.run(command, check=True, timeout=300)
    return folder / "packages"


def in_inspect(inspect_ai: Path, *arguments: str, env: dict[str, str], cwd: Path) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        env=env | {"PYTHONPATH": os.pathsep.join([str(inspect_ai), str(ROOT)])},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    return done.stdout


def test_the_command_knows_every_task(inspect_ai: Path, tmp_path: Path):
    with ChatServer(models=["student-1", "judge-1"]) as server:
        in_inspect(
            inspect_ai,
            *(str(inspect_ai / "bin" / "inspect"), "eval", "skillmix/k2", "skillmix/planning_heldout_k3"),
            *("--model", "openai-api/local/student-1", "--model-base-url", server.base_url),
            *("-T", "judge=judge-1", "-T", f"judge_base_url={server.base_url}", "-T", "items=1"),
            *("--display", "none", "--log-dir", "logs", "--log-format", "json"),
            env=environment(tmp_path, LOCAL_API_KEY="none"),
            cwd=tmp_path,
        )
    logs = [json.loads(file.read_text()) for file in (tmp_path / "logs").glob("*.json")]
    assert {log["eval"]["task"] for log in logs} == {"skillmix_k2", "skillmix_planning_heldout_k3"}
    assert {log["status"] for log in logs} == {"success"}
    for log in logs:
        assert {score["name"] for score in log["results"]["scores"]} == {
            "full_marks",
            "all_skills",
            "skill_fraction",
        }


def test_equal_scores_for_the_answers_of_three_students(inspect_ai: Path, tmp_path: Path):
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
        side = ("-m", "tests.skillmix_tasks.inspect_side", str(answers), server.base_url)
        told = json.loads(in_inspect(inspect_ai, *side, env=env, cwd=tmp_path).splitlines()[-1])
    for student in STUDENTS:
        for metric in ("full_marks", "all_skills", "skill_fraction"):
            found = told[student][metric]
            assert found["mean"] == pytest.approx(scores[student][f"{metric},none"]), (student, metric)
            assert found["stderr"] == pytest.approx(scores[student][f"{metric}_stderr,none"])
