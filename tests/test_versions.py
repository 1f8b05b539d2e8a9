"""A package of the wrong version ends every way in with one sentence."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow

_ROOT = Path(__file__).parents[1]
_COMMAND = ["-m", "skillmix", "tasks"]
_IMPORT = ["-c", "import grading"]
_LM_EVAL = [
    "-c",
    "from lm_eval.tasks import TaskManager\n"
    "tasks = TaskManager(include_path='skillmix_tasks/harness', include_defaults=False)\n"
    "tasks.load_task_or_group('skillmix_k2')",
]


@pytest.mark.parametrize(
    ("package", "release", "arguments"),
    [
        ("rich", "1.0", _COMMAND),
        ("lm_eval", "0.5.0", _COMMAND),  # too new
        ("transformers", "4.57.0", _COMMAND),  # of an extra
        ("trl", "0.1", _IMPORT),
        ("pydantic", "3.0", _LM_EVAL),
    ],
)
def test_a_version_outside_the_range_ends_in_one_sentence(
    tmp_path: Path, package: str, release: str, arguments: list[str]
) -> None:
    about = tmp_path / f"{package}-{release}.dist-info"
    about.mkdir()
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {release}\n")
    run = subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": f"{tmp_path}:{_ROOT}", "HOME": str(tmp_path)},
        cwd=_ROOT,
    )
    assert run.returncode == 1
    line = run.stderr.splitlines()[-1]
    assert "Traceback" not in run.stderr
    assert line.startswith(f"Error: The package {package.replace('_', '-')} is {release}; ")
    assert "type `pip install" in line
