"""Plain lm_eval with the .pth file in place: it finds our tasks, with lm-eval installed in either fashion."""

from __future__ import annotations

import importlib.metadata
import re
import subprocess
import sysconfig
import venv
from importlib.resources import files
from pathlib import Path

import pytest

from grading import UserError
from skillmix_tasks.commands.evaluate import check_json
from skillmix_tasks.harness.settings import read_settings
from skillmix_tasks.harness.task_files import harness_folder
from tests.skillmix_tasks.running import copy_lm_eval, environment, run

ROOT = Path(__file__).parents[2]
GROUPS = {
    "skillmix": range(1, 9),
    "skillmix_train": range(1, 9),
    "skillmix_heldout": range(1, 9),
    "skillmix_public": range(1, 7),
    "skillmix_planning": range(2, 5),
    "skillmix_planning_train": range(2, 6),
    "skillmix_planning_heldout": range(2, 6),
}
NAMES = set(GROUPS) | {f"{group}_k{k}" for group, ks in GROUPS.items() for k in ks}

# How an lm-eval that reads the entry point may do it: its own tasks, those of packages, those of the user.
READS_ENTRY_POINTS = """
        from importlib.metadata import entry_points
        from importlib.resources import files
        all_paths += [Path(str(files(entry.load()))) for entry in entry_points(group="lm_eval.tasks")]
        if include_path:
"""

IMPORTS = """
import importlib, importlib.util, inspect, multiprocessing, sys

def finders():
    return [type(finder).__name__ for finder in sys.meta_path].count("SkillMixFinder")

def ours(into=None):
    from lm_eval.tasks import TaskManager
    found = sum(name.startswith("skillmix") for name in TaskManager().all_tasks)
    into.put(found) if into else None
    return found

if __name__ == "__main__":
    packages = {"lm_eval", "grading", "skillmix_tasks", "training", "hub_cards", "_skillmix_lm_eval"}
    assert not packages & set(sys.modules)
    assert finders() == 1
    for method in ("spawn", "fork"):
        context = multiprocessing.get_context(method)
        queue = context.Queue()
        child = context.Process(target=ours, args=(queue,))
        child.start()
        print(method, queue.get())
        child.join()
    print("here", ours())
    assert finders() == 0
    assert "grading" not in sys.modules
    manager = sys.modules["lm_eval.tasks.manager"]
    assert type(manager.__loader__).__name__ == "SourceFileLoader"
    assert manager.__spec__.loader is manager.__loader__
    assert importlib.util.find_spec("lm_eval.tasks.manager") is manager.__spec__
    assert manager.__file__ == manager.__spec__.origin == inspect.getsourcefile(manager.TaskManager)
    assert manager.TaskManager(include_defaults=False).all_tasks == []
    assert importlib.reload(manager) is manager
    print("reloaded", ours())
"""


def test_the_entry_point_names_a_package_of_yaml_files():
    [entry] = importlib.metadata.entry_points(group="lm_eval.tasks")
    folder = Path(str(files(entry.load())))
    assert {file.stem for file in folder.glob("*.yaml") if not file.stem.startswith("_")} == NAMES


@pytest.mark.slow
def test_our_own_list_has_the_names(tmp_path: Path):
    done = run("skillmix", "tasks", env=environment(tmp_path), cwd=tmp_path)
    assert set(done.stdout.split()) == NAMES


def test_every_yaml_file_is_a_handful_of_lines():
    for file in Path(str(files("skillmix_tasks.harness"))).glob("skillmix*.yaml"):
        assert len(file.read_text().splitlines()) <= 4


def python_with_hook(folder: Path, *, editable: bool) -> Path:
    """A Python with our .pth file and an lm_eval of its own, to be changed; all else is this environment's."""
    venv.create(folder / "venv", symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(folder / "venv")}))
    where = folder / "source" if editable else site
    copy_lm_eval(where)
    if editable:
        (site / "a_editable.pth").write_text(str(where))
    (site / "b_this_environment.pth").write_text(f"{ROOT}\n{sysconfig.get_path('purelib')}\n")
    (site / "skillmix_lm_eval.pth").write_bytes((ROOT / "skillmix_lm_eval.pth").read_bytes())
    return folder / "venv" / "bin" / "python"


@pytest.fixture(params=["wheel", "editable"])
def python(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    return python_with_hook(tmp_path, editable=request.param == "editable")


@pytest.fixture(scope="module")
def shared_python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For tests that leave it as it is."""
    return python_with_hook(tmp_path_factory.mktemp("python"), editable=False)


def call(python: Path, *arguments: str | Path, folder: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, *arguments],
        env=environment(folder, **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=200,
        check=False,
    )


def listed(python: Path, folder: Path, *arguments: str, **variables: str) -> set[str]:
    """Our names in lm_eval's list, which comes without a warning about a name that is there twice."""
    done = call(python, "-I", "-m", "lm_eval", "ls", "tasks", *arguments, folder=folder, **variables)
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    assert "arc_easy" in done.stdout
    found: list[str] = re.findall(r"\|\s*(skillmix\w*)\s*\|", done.stdout)
    groups = {
        name for name in found if found.count(name) == 2
    }  # a group and a task of one name would both be listed
    assert groups == set()
    return set(found)


@pytest.mark.slow
def test_lm_eval_lists_our_tasks_once(python: Path, tmp_path: Path):
    assert listed(python, tmp_path) == NAMES
    assert listed(python, tmp_path, "--include_path", str(harness_folder())) == NAMES


@pytest.mark.slow
def test_it_can_be_switched_off(shared_python: Path, tmp_path: Path):
    assert listed(shared_python, tmp_path, SKILLMIX_NO_LM_EVAL_HOOK="1") == set()
    assert call(shared_python, "-m", "skillmix", "path", folder=tmp_path).stdout.strip() == str(harness_folder())


@pytest.mark.slow
def test_an_lm_eval_that_reads_the_entry_point_has_them_once(tmp_path: Path):
    python = python_with_hook(tmp_path, editable=False)
    [manager] = tmp_path.glob("**/lm_eval/tasks/manager.py")
    before, line, after = manager.read_text().partition("\n        if include_path:\n")
    assert line
    manager.write_text(before + READS_ENTRY_POINTS + after)
    assert listed(python, tmp_path, SKILLMIX_NO_LM_EVAL_HOOK="1") == NAMES
    assert listed(python, tmp_path) == NAMES


@pytest.mark.slow
def test_imports_stay_as_they_are(shared_python: Path, tmp_path: Path):
    (tmp_path / "imports.py").write_text(IMPORTS)
    done = call(shared_python, "imports.py", folder=tmp_path)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == [
        word for place in ("spawn", "fork", "here", "reloaded") for word in (place, str(len(NAMES)))
    ]


# An lm-eval that has changed: there is nothing in it that we could change.
OTHER_LM_EVAL = {
    "tasks/manager.py": "class TaskIndex:\n    def build(self, paths):\n        return paths\n",
    "_cli/harness.py": "HarnessCLI = 3\n",
}


@pytest.mark.parametrize("installed", [True, False])
@pytest.mark.slow
def test_an_lm_eval_of_another_form_is_left_alone(installed: bool, tmp_path: Path):
    """Also where the .pth file is all that is left of us."""
    venv.create(tmp_path / "venv", symlinks=True)
    site = Path(sysconfig.get_path("purelib", vars={"base": str(tmp_path / "venv")}))
    (site / "skillmix_lm_eval.pth").write_bytes((ROOT / "skillmix_lm_eval.pth").read_bytes())
    if installed:
        (site / "ours.pth").write_text(str(ROOT))
    for file, text in OTHER_LM_EVAL.items():
        (site / "lm_eval" / file).parent.mkdir(parents=True)
        (site / "lm_eval" / file).write_text(text)
    code = (
        "from lm_eval._cli.harness import HarnessCLI\n"
        "from lm_eval.tasks.manager import TaskIndex\n"
        "print(TaskIndex().build([4]), HarnessCLI)"
    )
    done = call(tmp_path / "venv" / "bin" / "python", "-c", code, folder=tmp_path)
    assert (done.returncode, done.stdout, done.stderr) == (0, "[4] 3\n", "")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--tasks", "arc_easy,skilmix_k4"], "There is no task skilmix_k4 (did you mean skillmix_k4?): "),
        (["--tasks", "skillmix_k2", "--metadata", "{skillmix: 1}"], "--metadata takes one JSON object"),
        (
            ["--tasks", "skillmix_k2", "--metadata", '{"skillmix": 1}'],
            'The setting "skillmix" is not a JSON object',
        ),
    ],
)
@pytest.mark.slow
def test_a_mistake_about_our_tasks_is_one_sentence(
    arguments: list[str], sentence: str, shared_python: Path, tmp_path: Path
):
    done = call(shared_python, "-m", "lm_eval", "--model", "dummy", *arguments, folder=tmp_path)
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert line.startswith(f"Error: {sentence}")


@pytest.mark.slow
def test_a_mistake_about_other_tasks_is_as_it_was(shared_python: Path, tmp_path: Path):
    done = call(shared_python, "-m", "lm_eval", "--model", "dummy", "--tasks", "arc_eazy", folder=tmp_path)
    assert done.returncode == 1
    assert done.stderr.splitlines()[-1] == "ValueError: Tasks not found: arc_eazy"


@pytest.mark.parametrize(
    "words",
    [
        ["{skillmix: 1}"],
        ["{'skillmix': {}}"],
        ['{"skillmix": {"votes": 3}'],
        ["{skillmix:", "{votes:", "3}}"],
        ['["skillmix"]'],
        ['"skillmix"'],
        ['skillmix={"votes": 3}'],
        ['{"skillmix": {"votes": 3}}', "tokenizer=gpt2"],
    ],
)
def test_metadata_about_us_that_lm_eval_cannot_read(words: list[str]):
    with pytest.raises(UserError, match=r"--metadata takes one JSON object in single quotes"):
        check_json(["--limit", "1", "--metadata", *words])


@pytest.mark.parametrize(
    "arguments",
    [
        ["--metadata", '{"skillmix": {"votes": 3}}'],
        ["--metadata", "skillmix=1"],
        ["--metadata"],
        ["--metadata", "{tokenizer: x}", "--tasks", "arc_easy"],
        ["--model_args", "{pretrained: skillmix}", "--tasks", "arc_easy"],
        ["--model_args", "pretrained=x", "args={'a': 1}", "--tasks", "skillmix_k2"],
    ],
)
def test_metadata_that_is_left_to_lm_eval(arguments: list[str]):
    check_json(arguments)


@pytest.mark.parametrize("option", ["--model_args", "-a", "--gen_kwargs"])
def test_other_json_beside_a_task_of_ours_is_not_repeated(option: str):
    with pytest.raises(UserError, match=r"one JSON object in single quotes \(Expecting") as caught:
        check_json(["--tasks", "skillmix_k2", option, "{auth_token: hf_secret}"])
    assert "secret" not in str(caught.value)


def test_metadata_beside_a_task_of_ours():
    with pytest.raises(UserError, match=r"Expecting property name"):
        check_json(["--metadata={tokenizer: x}", "--tasks", "arc_easy,skillmix_k2"])


@pytest.mark.parametrize("key", ["skilmix", "SkillMix", "skill-mix", "skillmix.votes", "{skillmix: 1}"])
def test_a_key_that_is_almost_ours(key: str):
    with pytest.raises(UserError, match=re.escape(f"--metadata has an unknown key {key!r}")):
        read_settings({"pretrained": "model", key: {"votes": 1}})
