"""Run the real commands in processes of their own, as a user does."""

from __future__ import annotations

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.forks import Fork, skillmix

BIN = Path(sys.executable).parent
MODELS = ["student-1", "judge-1", "judge-2"]  # that the chat server serves in these tests


def environment(home: Path, **variables: str) -> dict[str, str]:
    """An environment without keys, with a home of the test's own and no way to a hub."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("OPENAI_", "SKILLMIX_", "HF_TOKEN"))
    }
    offline = {"HF_HUB_OFFLINE": "1", "HF_HUB_DISABLE_TELEMETRY": "1", "SKILLMIX_HOME": str(home)}
    return kept | offline | variables


def run(
    *command: str | Path, env: dict[str, str], cwd: Path, timeout: float = 300
) -> subprocess.CompletedProcess[str]:
    """Run `skillmix` in a fork, or another command of this environment's bin folder; return what it did."""
    program, *arguments = command
    if program == "skillmix":
        return Fork(skillmix, *map(str, arguments), cwd=cwd, env=env).wait(timeout)
    return subprocess.run(
        [BIN / program, *arguments], env=env, cwd=cwd, capture_output=True, text=True, timeout=timeout, check=False
    )


def copy_lm_eval(folder: Path) -> Path:
    """Copy lm_eval into `folder`, to be put on PYTHONPATH, with few of its task files: reading all takes long."""
    spec = importlib.util.find_spec("lm_eval")
    assert spec is not None
    assert spec.origin is not None
    source = Path(spec.origin).parent

    def all_but_most_tasks(folder: str, names: list[str]) -> list[str]:
        if Path(folder) != source / "tasks":
            return ["__pycache__"]
        return [name for name in names if (source / "tasks" / name).is_dir() and name != "arc"]

    shutil.copytree(source, folder / "lm_eval", ignore=all_but_most_tasks)
    return folder


@dataclass
class Results:
    """What a run wrote to its output path: results, and samples by task."""

    results: dict[str, Any]
    samples: dict[str, list[dict[str, Any]]]
    sample_files: dict[str, Path]


def read_output(folder: Path) -> Results:
    """The one results file under `folder` and its samples."""
    [results] = folder.glob("**/results_*.json")
    files = {
        match[1]: file
        for file in sorted(folder.glob("**/samples_*.jsonl"))
        if (match := re.match(r"samples_(.+)_\d{4}-\d\d-\d\dT", file.name))
    }
    return Results(
        json.loads(results.read_text()),
        {task: [json.loads(line) for line in file.read_text().splitlines()] for task, file in files.items()},
        files,
    )


def student_arguments(url: str) -> list[str]:
    """The student behind a chat server."""
    return [
        "--model",
        "local-chat-completions",
        "--model_args",
        f"model=student-1,base_url={url},num_concurrent=4,max_retries=1",
    ]


def metadata(**settings: Any) -> list[str]:
    """Settings as lm_eval takes them."""
    return ["--metadata", json.dumps({"skillmix": settings})]
