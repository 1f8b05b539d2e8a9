"""What a user installs: our wheel in an empty environment outside the checkout, and then an editable install.

    SKILLMIX_TEST_INSTALL=1 pytest tests/test_install.py

It downloads the base dependencies (PIP_CONSTRAINT names a file of versions); no torch. About a minute.
"""

from __future__ import annotations

import os
import subprocess
import sys
import sysconfig
import venv
import zipfile
from pathlib import Path

import pytest

from skillmix_tasks.commands.evaluate import own_names
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment

ROOT = Path(__file__).parents[1]
pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(1500),  # pip fetches and unpacks some 2 GB, beside other tests
    pytest.mark.skipif(
        "SKILLMIX_TEST_INSTALL" not in os.environ, reason="SKILLMIX_TEST_INSTALL=1 runs it: it downloads packages"
    ),
]


def test_lm_eval_runs_our_tasks_where_only_pip_install_was_run(chat_server: ChatServer, tmp_path: Path):
    venv.create(tmp_path / "venv")
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    chat_server.set(models=["judge-1"])
    env = environment(
        tmp_path / "home", SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=chat_server.base_url
    )
    env.pop("PYTHONPATH", None)

    def output(*command: str | Path) -> str:
        done = subprocess.run(command, env=env, cwd=tmp_path, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
        return done.stdout

    def pip(verb: str, *arguments: str | Path) -> None:
        output(sys.executable, "-m", "pip", "--python", tmp_path / "venv", verb, "--quiet", *arguments)

    def ours() -> set[str]:
        return {path.name for path in site.iterdir() if "skillmix" in path.name}

    lm_eval = tmp_path / "venv" / "bin" / "lm_eval"
    output(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", "dist", ROOT)
    [wheel] = (tmp_path / "dist").iterdir()
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert {f"{package}/py.typed" for package in ("grading", "skillmix_tasks", "training", "hub_cards")} <= names
    pip("install", "--no-compile", wheel)
    listed = output(lm_eval, "ls", "tasks")
    assert [name for name in own_names() if f"|{name} " not in listed] == []
    output(tmp_path / "venv" / "bin" / "skillmix", "pack", "new", "mine")
    assert " is valid: 14 skills" in output(tmp_path / "venv" / "bin" / "skillmix", "pack", "check", "mine")
    table = output(lm_eval, "--tasks", "skillmix_k2", "--model", "dummy", "--limit", "1")
    assert "|skillmix_k2|" in table
    assert "full_marks" in table
    pip("uninstall", "--yes", "skillmix-tasks")
    assert ours() == set()
    pip("install", "--no-deps", "--editable", ROOT)
    assert "skillmix_lm_eval.pth" in ours()
    assert "All tasks found" in output(lm_eval, "validate", "--tasks", "skillmix_k4,skillmix_train")
    pip("uninstall", "--yes", "skillmix-tasks")
    assert ours() == set()
