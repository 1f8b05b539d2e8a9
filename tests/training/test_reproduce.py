"""The script reproduce/paper.sh, as far as it comes without a model; the whole chain takes many minutes."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from tests.skillmix_tasks.running import environment

pytestmark = pytest.mark.slow

SCRIPT = Path(__file__).parents[2] / "reproduce" / "paper.sh"


def start(folder: Path, *arguments: str, answer: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [SCRIPT, *arguments],
        env=environment(folder / "home", PYTHON=sys.executable, PYTHONPATH=str(SCRIPT.parents[1])),
        cwd=folder,
        input=answer,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def test_the_estimate_comes_first_and_nothing_is_made_unless_the_user_says_so(tmp_path: Path):
    model = "gpt-4.1-2025-04-14"
    options = ("--teacher", model, "--judge", model, "--scale", "0.01", "--recipe", "mistral-7b-instruct-lora")
    done = start(tmp_path, *options, answer="n\n")
    assert (done.returncode, done.stderr) == (0, "")
    assert "Texts: 250 tries with k = 1, 2, 3;" in done.stdout
    assert "In all: $" in done.stdout
    assert list(tmp_path.iterdir()) == []
    done = start(tmp_path, *options)
    assert done.returncode == 1
    assert "Error: Nobody answers: type --yes" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ((), "Name who writes and who judges: --teacher MODEL --judge MODEL (or --tiny)."),
        (("--huge",), "There is no option --huge"),
        (("--out",), "--out needs a value"),
        (("--gpus", "none"), "--gpus none is no number of GPUs"),
    ],
)
def test_mistakes(tmp_path: Path, arguments: tuple[str, ...], sentence: str):
    done = start(tmp_path, *arguments)
    assert done.returncode == 1
    assert done.stderr.startswith(f"Error: {sentence}")
    assert done.stderr.count("\n") == 1


def test_a_tiny_run_without_an_accepted_text_ends_well(tmp_path: Path):
    commands = tmp_path / "commands"
    python = tmp_path / "python"  # whose commands do nothing, so no text is there
    python.write_text(f'#!/bin/sh\necho "$3" >> {commands}\n')
    python.chmod(0o755)
    done = subprocess.run(
        [SCRIPT, "--tiny", "--yes"],
        env=environment(tmp_path / "home", PYTHON=str(python)),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    assert "nothing to train on" in done.stdout
    assert commands.read_text().split() == ["embedded", "generate"]


def test_help(tmp_path: Path):
    done = start(tmp_path, "--help")
    assert (done.returncode, done.stderr) == (0, "")
    assert done.stdout.startswith("From API keys and GPUs")
