"""The three ways in which lm-eval finds our tasks, with lm-eval installed in either fashion."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sysconfig
import venv
from importlib.resources import files
from pathlib import Path

import pytest

from tests.skillmix_tasks.running import copy_lm_eval, environment, run

ROOT = Path(__file__).parents[2]
GROUPS = {
    "skillmix": range(1, 9),
    "skillmix_train": range(1, 9),
    "skillmix_heldout": range(1, 9),
    "skillmix_public": range(1, 7),
    "skillmix_planning": range(2, 5),
}
NAMES = set(GROUPS) | {f"{group}_k{k}" for group, ks in GROUPS.items() for k in ks}


def test_the_entry_point_names_a_package_of_yaml_files():
    [entry] = importlib.metadata.entry_points(group="lm_eval.tasks")
    folder = Path(str(files(entry.load())))
    assert {file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("_")} == NAMES


def test_our_own_list_has_the_names(tmp_path: Path):
    done = run("skillmix", "tasks", env=environment(tmp_path), cwd=tmp_path)
    assert set(done.stdout.split()) == NAMES


def test_every_yaml_file_is_a_handful_of_lines():
    for file in Path(str(files("skillmix_tasks.harness"))).glob("skillmix*.yaml"):
        assert len(file.read_text().splitlines()) <= 4


@pytest.fixture(params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A Python of its own with an lm_eval that it may change; everything else is this environment's."""
    venv.create(tmp_path / "venv", symlinks=True)
    python = tmp_path / "venv" / "bin" / "python"
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    where = {"wheel": site, "editable": tmp_path / "source"}[request.param]
    copy_lm_eval(where)
    if where != site:
        (site / "a_editable.pth").write_text(str(where))
    ours = f"{sysconfig.get_path('purelib')}\n{ROOT}\n"
    (site / "b_this_environment.pth").write_text(ours)
    return python


def call(python: Path, *arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-m", *arguments],
        env=environment(folder),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def listed(python: Path, folder: Path, *arguments: str) -> set[str]:
    done = call(python, "lm_eval", "ls", "tasks", *arguments, folder=folder)
    assert done.returncode == 0, done.stderr
    assert "arc_easy" in done.stdout
    return set(re.findall(r"\|\s*(skillmix\w*)\s*\|", done.stdout))


def test_link_makes_plain_lm_eval_know_the_tasks(python: Path, tmp_path: Path):
    assert listed(python, tmp_path) == set()
    done = call(python, "skillmix", "link", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert str(tmp_path) in done.stdout
    assert listed(python, tmp_path) == NAMES
    assert call(python, "skillmix", "link", folder=tmp_path).returncode == 0  # twice does no harm
    assert subprocess.run([python, "-c", "import lm_eval.tasks"], check=False).returncode == 0
    done = call(python, "skillmix", "unlink", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert listed(python, tmp_path) == set()


def test_include_path_needs_no_links(python: Path, tmp_path: Path):
    where = call(python, "skillmix", "path", folder=tmp_path).stdout.strip()
    assert listed(python, tmp_path, "--include_path", where) == NAMES


def test_a_folder_that_cannot_be_written_is_one_sentence(python: Path, tmp_path: Path):
    [tasks] = tmp_path.glob("**/lm_eval/tasks")
    (tasks / "skillmix").write_text("in the way")
    done = call(python, "skillmix", "link", folder=tmp_path)
    assert done.returncode == 1
    assert "skillmix eval" in done.stderr
    assert "Traceback" not in done.stderr
