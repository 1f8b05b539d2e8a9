"""The tiny experiment for tests: a random model that learns, and a loopback server that writes and judges."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

from grading.store.replies import VerdictStore
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment
from tests.tiny_model import write_tiny_model

REPRODUCE = Path(__file__).parents[2] / "reproduce"
SNAKEMAKE = shutil.which(os.environ.get("SKILLMIX_SNAKEMAKE", "snakemake"))
needs_snakemake = pytest.mark.skipif(SNAKEMAKE is None, reason="needs snakemake (SKILLMIX_SNAKEMAKE names it)")


def write_experiment(folder: Path, server: ChatServer) -> Path:
    """reproduce/tiny.yaml, with the small model's parts taken by the server and by a model of random weights."""
    folder.mkdir(parents=True, exist_ok=True)
    fields = yaml.safe_load((REPRODUCE / "tiny.yaml").read_text(encoding="utf-8"))
    if not (folder / "model").exists():
        write_tiny_model(folder / "model")
    recipe = {
        "model": str(folder / "model"),
        "method": "full",
        "steps": 2,
        "global_batch": 2,
        "micro_batch": 2,
        "learning_rate": 1e-3,
        "max_length": 8000,
        "dtype": "float32",
        "save_steps": 1,
    }
    (folder / "recipe.yaml").write_text(yaml.safe_dump(recipe))
    shutil.copy(REPRODUCE / "tiny-plan.yaml", folder)
    fields |= {
        "teacher": {"model": "teacher-1", "base_url": server.base_url},
        "judges": [{"model": "judge-1", "base_url": server.base_url}],
        "models": {"Tiny": {"recipe": "recipe.yaml", "gpus": 0, "memory_gb": 8}},
    }
    fields["texts"]["tiny"]["memory_gb"] = 0.5
    fields["answering"] |= {
        "model_args": "dtype=float32",
        "arguments": ["--batch_size", "12", "--gen_kwargs", "max_gen_toks=8", "--device", "cpu"],
        "memory_gb": 1,
    }
    fields["judging"] = {"memory_gb": 0.5}
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(fields, sort_keys=False))
    return file


class Workflow:
    """The workflow of an experiment, in processes that can be killed all at once."""

    def __init__(self, folder: Path, experiment: Path, home: Path, profile: str = "local") -> None:
        self.out = folder / "out"
        self._folder = folder
        self._experiment = experiment
        self._env = environment(
            home,
            PYTHONPATH=str(REPRODUCE.parent),
            HF_HUB_DISABLE_PROGRESS_BARS="1",
            OMP_NUM_THREADS="1",
            XDG_CACHE_HOME=str(folder / "cache"),
        )
        self._profile = profile
        self._home = home
        folder.mkdir(parents=True, exist_ok=True)

    def start(self, *more: str) -> subprocess.Popen[str]:
        """Begin it, or resume it."""
        assert SNAKEMAKE
        return subprocess.Popen(
            [
                *(SNAKEMAKE, "-s", str(REPRODUCE / "Snakefile")),
                *("--profile", str(REPRODUCE / "profiles" / self._profile), *more),
                "--config",
                f"experiment={self._experiment}",
                f"out={self.out}",
                f"skillmix={sys.executable} -m skillmix",
            ],
            cwd=self._folder,
            env=self._env,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def stored(self) -> int:
        """How many replies of teacher and judge are on disk."""
        store = VerdictStore(self._home / "verdicts.sqlite")
        try:
            return store.count(None, None)
        finally:
            store.close()

    def run(self, *more: str, timeout: float = 500) -> str:
        """What it printed, from beginning to end; fails if it does."""
        process = self.start(*more)
        try:
            said, _ = process.communicate(timeout=timeout)
        finally:
            kill(process)
        assert process.returncode == 0, said
        return said


def kill(process: subprocess.Popen[str]) -> None:
    """End the engine and all its jobs at once, as a lost machine does."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        return
    process.wait()
