"""What a user gets wrong with `skillmix generate` is one sentence and status 1, and nothing is asked."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import skillmix
from tests.forks import FORKS
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, run
from tests.tiny_model import write_tiny_model
from tests.training.made import lock_for_ever

pytestmark = pytest.mark.slow

START = ("generate", "--k", "1", "--accept", "2")
Start = Callable[..., str]


@pytest.fixture
def start(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Start:
    """Run the command in this process and return its one sentence."""
    chat_server.set(models=["teacher-1", "judge-1"], student="one sentence", earn=1)
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    for variable in ("OPENAI_API_KEY", "SKILLMIX_JUDGE_MODEL"):
        monkeypatch.delenv(variable, raising=False)
    for role in ("TEACHER", "JUDGE"):
        monkeypatch.setenv(f"SKILLMIX_{role}_BASE_URL", chat_server.base_url)
    monkeypatch.setenv("SKILLMIX_TEACHER_MODEL", "teacher-1")

    def run_it(*arguments: str, asked: int = 0) -> str:
        out = () if "--out" in arguments else ("--out", str(tmp_path / "out"))
        judge = () if "--judge" in arguments else ("--judge", "judge-1")
        monkeypatch.setattr(sys, "argv", ["skillmix", *arguments, *out, *judge])
        with pytest.raises(SystemExit) as ended:
            skillmix.main()
        assert sum(entry.body.get("max_tokens") != 1 for entry in chat_server.log()) == asked  # beside the check
        assert isinstance(ended.value.code, str), "the command must fail"
        assert ended.value.code.startswith("Error: ")
        assert "\n" not in ended.value.code
        return ended.value.code

    return run_it


def test_no_teacher(start: Start, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("SKILLMIX_TEACHER_MODEL")
    assert "Name the teacher: --teacher MODEL" in start(*START)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--k", "1,two", "--accept", "2"), "--k 1,two is not a list of numbers from 1: type --k 1,2,3."),
        (("--k", "1,1", "--accept", "2"), "Name each k once"),
        (("--k", "0", "--accept", "2"), "--k 0 is not a list of numbers from 1"),
        (("--k", "1"), "--k and --accept go together"),
        (("--accept", "5"), "--k and --accept go together"),
        (
            ("--plan", "paper", "--k", "1"),
            "--plan paper says how many texts of each k: leave --k and --accept out",
        ),
        ((), "Say what to make"),
        (
            ("--plan", "papers"),
            "There is no plan 'papers': choose balanced, k4-probe, paper, planning",
        ),
        (("--plan", "paper", "--scale", "0"), "cannot be scaled by 0"),
        (("--k", "60", "--accept", "2"), "has 53 train skills, too few for texts with 60"),
    ],
)
def test_a_plan_that_is_none(start: Start, arguments: tuple[str, ...], sentence: str):
    assert sentence in start("generate", *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--teacher", "teacher-2"), "does not serve the model teacher-2"),
        (("--judge", "judge-2"), "does not serve the model judge-2"),
        (("--teacher-base-url", "http://127.0.0.1:9/v1"), "cannot be reached"),
        (("--judge-base-url", "http://127.0.0.1:9/v1"), "cannot be reached"),
        (("--teacher-base-url", "not an address"), "it is not an http or https address"),
        (("--teacher-prefix", "Answer:"), "--teacher-prefix is for a teacher in this process"),
        (("--teacher-temperature", "0"), "temperature cannot be used"),
        (("--votes", "2"), "a majority needs an odd number of votes"),
        (("--pack", "esperanto"), "no pack 'esperanto'"),
        (("--max-usd", "1"), "--max-usd needs the price of the"),
        (("--validation", "2"), "is not a share of the rows for validation"),
        (("--mix-share", "0.5"), "--mix-share 0.5 is a share of the text of --mix"),
        (("--mix", "/nowhere/texts.txt"), "/nowhere/texts.txt"),
        (("--mix", "pyproject.toml"), "pyproject.toml"),
    ],
)
def test_a_model_or_setting_that_will_not_do(start: Start, arguments: tuple[str, ...], sentence: str):
    assert sentence in start(*START, *arguments)


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--teacher", "hf:/nowhere"), "There is no model directory /nowhere."),
        (("--teacher", "hg", "--teacher-args", "pretrained=/nowhere"), "lm-eval has no model 'hg'"),
        (("--teacher", "hf", "--teacher-args", "batch_size=8"), "name no model: type --teacher-args pretrained="),
        (("--teacher", "hf:/nowhere", "--batch"), "A teacher in this process has no Batch API"),
    ],
)
def test_a_local_teacher_that_is_not_there(start: Start, arguments: tuple[str, ...], sentence: str):
    pytest.importorskip("torch")
    assert sentence in start(*START, *arguments)


def test_a_local_teacher_that_cannot_be_loaded(start: Start, tmp_path: Path):
    pytest.importorskip("torch")
    write_tiny_model(tmp_path / "model")
    arguments = ("--teacher", "hf", "--teacher-args", f"pretrained={tmp_path / 'model'},nonsense=3")
    assert "unexpected keyword argument 'nonsense'): correct --teacher-args." in start(*START, *arguments)


def test_a_folder_without_a_model(start: Start, tmp_path: Path):
    assert "holds no model: it has no config.json" in start(*START, "--teacher", f"hf:{tmp_path}")


def test_a_folder_with_something_else(start: Start, tmp_path: Path):
    (tmp_path / "notes.txt").write_text("mine")
    assert "is not empty and holds no run" in start(*START, "--out", str(tmp_path))
    assert "cannot be used" in start(*START, "--out", str(tmp_path / "notes.txt"))
    other = tmp_path / "other"
    other.mkdir()
    (other / "run.json").write_text("[]")
    assert "run.json is not a record of a run" in start(*START, "--out", str(other))


def served(chat_server: ChatServer, home: Path) -> dict[str, str]:
    env = environment(home, SKILLMIX_TEACHER_MODEL="teacher-1")
    for role in ("TEACHER", "JUDGE"):
        env[f"SKILLMIX_{role}_BASE_URL"] = chat_server.base_url
    return env


@pytest.mark.usefixtures("start")  # which sets the server up
def test_a_run_that_its_cap_stopped_ends_with_the_command_that_resumes_it(chat_server: ChatServer, tmp_path: Path):
    command = ("--k", "1", "--accept", "9", "--judge", "judge-1", "--out", "out", "--max-tokens", "12000")
    env = served(chat_server, tmp_path / "home")
    stopped = run("skillmix", "generate", *command, env=env, cwd=tmp_path)
    assert stopped.returncode == 0, stopped.stderr  # some texts are made
    assert stopped.stdout.splitlines()[-1].split() == ["next", "skillmix", "generate", *command]
    resumed = run("skillmix", "generate", *command[:-2], env=env, cwd=tmp_path)
    assert resumed.stdout.splitlines()[-1].split()[:3] == ["next", "skillmix", "train"]


@pytest.mark.usefixtures("start")
def test_a_teacher_whose_package_is_missing(chat_server: ChatServer, tmp_path: Path):
    command = (*START, "--judge", "judge-1", "--teacher", "vllm", "--teacher-args", "pretrained=/nowhere")
    # In a process of its own: others may have put a stand-in in the package's place.
    done = run("skillmix", *command, "--out", "out", env=served(chat_server, tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 1
    assert "cannot load --teacher vllm (No module named 'vllm'): install the missing package." in done.stderr


def test_a_folder_with_another_run(chat_server: ChatServer, start: Start, tmp_path: Path):
    env = served(chat_server, tmp_path / "home")
    done = run("skillmix", *START, "--judge", "judge-1", "--out", "out", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "accepted; 2 texts are accepted." in done.stdout
    assert 'load_dataset("out", CONFIG) with k1 (2)' in done.stdout
    asked = sum(chat_server.counts().received.values())
    before = {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()}
    sentence = start(*START, "--seed", "1", "--turns", "1", asked=asked)
    assert (
        "with another seed (--seed) and number of turns (--turns): name another folder with --out, or give the "
        "same options" in sentence
    )
    assert {path: path.read_bytes() for path in (tmp_path / "out").rglob("*") if path.is_file()} == before


def test_a_folder_in_which_another_process_writes(start: Start, tmp_path: Path):
    ready = FORKS.Event()
    other = FORKS.Process(target=lock_for_ever, args=(tmp_path / "out", ready))
    other.start()
    try:
        assert ready.wait(300)
        assert "Another process works in" in start(*START)
    finally:
        other.kill()
        other.join()
