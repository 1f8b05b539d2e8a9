"""What a pull request to lm-eval would add works in a copy of the installed lm-eval."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import lm_eval
import pytest
import yaml

from contrib import lm_eval as contribution
from contrib.lm_eval import main, readme
from grading import UserError
from skillmix_tasks.harness.task_files import bundled_tasks
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parents[2]
ITS_TASKS = Path(lm_eval.__file__).parent / "tasks"


def _without_tasks(folder: str, names: list[str]) -> list[str]:
    """All but one of lm-eval's own 14,000 files of tasks are left out."""
    if Path(folder) != ITS_TASKS:
        return ["__pycache__"] if "__pycache__" in names else []
    return [name for name in names if (ITS_TASKS / name).is_dir() and name != "gsm8k"]


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("checkout")
    shutil.copytree(ITS_TASKS.parent, folder / "lm_eval", ignore=_without_tasks)
    (folder / "pyproject.toml").write_text('[project.optional-dependencies]\nsparsify = ["sparsify"]\n')
    main(folder)
    return folder


def harness(checkout: Path, env: dict[str, str], *arguments: str) -> subprocess.CompletedProcess[str]:
    """lm_eval of the checkout, without our own hook, which would find our tasks elsewhere."""
    return subprocess.run(
        [sys.executable, "-m", "lm_eval", *arguments],
        env=env | {"PYTHONPATH": os.pathsep.join([str(checkout), str(ROOT)]), "SKILLMIX_NO_LM_EVAL_HOOK": "1"},
        cwd=checkout,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def test_the_copy_runs_a_task_and_its_validator_passes(checkout: Path, tmp_path: Path):
    validated = harness(checkout, environment(tmp_path), "validate", "--tasks", "skillmix_k2,skillmix_heldout_k3")
    assert validated.returncode == 0, validated.stdout + validated.stderr
    with ChatServer(models=["student-1", "judge-1"]) as server:
        done = harness(
            checkout,
            environment(tmp_path, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=server.base_url),
            *("--model", "local-chat-completions", "--apply_chat_template", "--tasks", "skillmix_k2"),
            *("--model_args", f"model=student-1,base_url={server.url},num_concurrent=2,max_retries=1"),
            *("--limit", "1", "--output_path", str(tmp_path / "out")),
        )
    assert done.returncode == 0, done.stdout + done.stderr
    [file] = (tmp_path / "out").glob("**/results_*.json")
    assert json.loads(file.read_text())["results"]["skillmix_k2"]["coverage,none"] == 1


def test_a_second_time_changes_nothing(checkout: Path):
    def content() -> dict[Path, bytes]:
        changed = [checkout / "pyproject.toml", *(checkout / "lm_eval" / "tasks").rglob("*.*")]
        return {path: path.read_bytes() for path in changed if path.is_file()}

    before = content()
    main(checkout)
    assert content() == before
    table = (checkout / "lm_eval" / "tasks" / "README.md").read_text(encoding="utf-8").splitlines()
    rows = [line for line in table if line.startswith("| [s")]
    assert sum("[skillmix]" in row for row in rows) == 1
    place = next(number for number, row in enumerate(rows) if "[skillmix]" in row)
    assert rows[place + 1].startswith("| [spanish_bench]")
    assert 'skillmix = ["skillmix-tasks"]' in (checkout / "pyproject.toml").read_text()


def test_without_a_checkout_it_writes_what_is_added_and_nothing_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(contribution, "_SHOWN", tmp_path / "lm-eval")
    shown = main(None)
    assert main(None) == shown
    assert (shown / "lm_eval" / "tasks" / "README.md").read_text().startswith("| [skillmix](skillmix/README.md) |")
    assert (shown / "pyproject.toml").read_text() == 'skillmix = ["skillmix-tasks"]\n'
    yaml_files = {file.name for file in (ROOT / "skillmix_tasks" / "harness").glob("*.yaml")}
    written = {file.name for file in (shown / "lm_eval" / "tasks" / "skillmix").iterdir()}
    assert written == yaml_files | {"README.md"}
    with pytest.raises(UserError, match="not a checkout of lm-evaluation-harness"):
        main(tmp_path)


def test_the_readme_lists_every_task_and_group():
    text = readme()
    assert all(f"`{name}`" in text for name in bundled_tasks())
    for file in (ROOT / "skillmix_tasks" / "harness").glob("skillmix*.yaml"):
        found = yaml.safe_load(file.read_text(encoding="utf-8"))
        assert f"* `{found.get('group') or found['task']}`" in text
