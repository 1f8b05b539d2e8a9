from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path

import pytest

from skillmix_tasks.harness.task_files import harness_folder
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parents[2]
_MOST = 2.5  # seconds of CPU; 2.0 on a quiet machine
STUDENT = ("--model_args", "pretrained=none", "--apply_chat_template")


@pytest.mark.parametrize("own", [False, True])
def test_eval_spends_little_cpu_before_it_loads_the_student(own: bool, chat_server: ChatServer, tmp_path: Path):
    """Also with a task of the user's own."""
    arguments = ["--tasks", "skillmix_k4"]
    if own:
        (tmp_path / "mine.yaml").write_text(
            f"include: {harness_folder()}/_skillmix.yaml\ntask: mine\n"
            "skillmix: {k: 2, split: all, pack: language, version: '1.0'}\n"
        )
        arguments = ["--tasks", "mine,skillmix_k4", "--include_path", str(tmp_path)]
    chat_server.set(models=["judge-1"])
    env = environment(tmp_path, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=chat_server.base_url)
    seconds = [math.inf]
    while min(seconds) > _MOST and len(seconds) <= 3:  # other processes' cache misses count as ours
        done = subprocess.run(
            [sys.executable, "-m", "tests.skillmix_tasks.startup_probe", *STUDENT, *arguments],
            cwd=ROOT,
            env=env,
            capture_output=True,
            text=True,
            timeout=200,
            check=False,
        )
        assert done.returncode == 7, done.stderr
        [line] = [line for line in done.stderr.splitlines() if line.startswith("cpu seconds:")]
        seconds.append(float(line.rpartition(" ")[2]))
    assert min(seconds) <= _MOST
