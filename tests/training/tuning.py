"""Short training runs: a tiny data set, and the command in processes that can be killed."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.training.making import items, row_of
from training.data.dataset import build_dataset
from training.data.mix import Mix
from training.data.rows import rows_file
from training.tune.resume import read_log

ROOT = Path(__file__).parents[2]
SECRETS = {"HF_TOKEN": "hf_markedTokenOfThisTest", "OPENAI_API_KEY": "sk-markedKeyOfThisTest"}
EXACT = ("step", "loss", "grad_norm", "learning_rate", "tokens", "trained_tokens", "eval_loss")


def write_tiny_data(folder: Path) -> Path:
    """A data set of 40 short two-turn texts (k = 1) and some plain text, a tenth of each held back."""
    folder.mkdir()
    rows = [
        row_of(item, prompt1=f"Write of {item.topic.name}.", prompt2="Better, please.") for item in items(1, 40)
    ]
    rows_file(folder, 1).write_text("".join(row.line() for row in rows), encoding="utf-8")
    text = folder.with_suffix(".txt")
    text.write_text("\n\n".join(f"Paragraph {number} of plain text." for number in range(40)), encoding="utf-8")
    build_dataset(folder, validation=0.1, mix=Mix(text, 0.1))
    return folder


def write_recipe(path: Path, model: Path, **fields: Any) -> Path:
    recipe = {
        "model": str(model),
        "method": "full",
        "steps": 14,  # more than an epoch
        "global_batch": 4,
        "micro_batch": 2,
        "learning_rate": 1e-2,
        "warmup_steps": 2,
        "max_length": 512,
        "dtype": "float32",
        "save_steps": 4,
    }
    path.write_text(yaml.safe_dump(recipe | fields), encoding="utf-8")
    return path


@dataclass
class Process:
    """One run of the command, as `rank` of `world` processes."""

    pid: int
    output: Path
    server: TrainServer

    def wait(self) -> int:
        return self.server.ask({"wait": self.pid})

    def said(self) -> str:
        return self.output.read_text()


class TrainServer:
    """Starts runs in forks of a process that has imported everything."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._number = 0
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.training.train_server"],
            cwd=ROOT,
            env=os.environ
            | SECRETS
            | {
                "PYTHONPATH": str(ROOT),
                "OMP_NUM_THREADS": "1",
                "HF_HUB_OFFLINE": "1",
                "HF_DATASETS_CACHE": str(folder / "datasets"),
                "SKILLMIX_HOME": str(folder / "home"),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout
        assert self._process.stdout.readline() == "ready\n"

    def ask(self, request: dict[str, Any]) -> int:
        assert self._process.stdin
        assert self._process.stdout
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return int(self._process.stdout.readline())

    def start(self, *argv: str, **env: str) -> Process:
        self._number += 1
        output = self._folder / f"output-{self._number}.txt"
        output.touch()
        pid = self.ask({"argv": argv, "env": env, "output": str(output)})
        return Process(pid, output, self)

    def start_ranks(self, number: int, *argv: str) -> list[Process]:
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            port = str(free.getsockname()[1])
        return [
            self.start(
                *argv,
                RANK=str(rank),
                LOCAL_RANK=str(rank),
                WORLD_SIZE=str(number),
                MASTER_ADDR="127.0.0.1",
                MASTER_PORT=port,
            )
            for rank in range(number)
        ]

    def close(self) -> None:
        assert self._process.stdin
        self._process.stdin.close()
        self._process.wait(300)


def train_arguments(recipe: Path, data: Path, out: Path, *more: str) -> tuple[str, ...]:
    return ("train", "--recipe", str(recipe), "--data", str(data), "--out", str(out), *more)


def signal_at(step: int, out: Path, processes: list[Process], number: signal.Signals) -> None:
    """Send `number` to `processes` as soon as the log in `out` has a line of `step`."""
    deadline = time.monotonic() + 300
    while not any(line["step"] >= step for line in read_log(out / "log.jsonl")):
        assert time.monotonic() < deadline, processes[0].said()
        time.sleep(0.002)
    for process in processes:
        os.kill(process.pid, number)


def exact(out: Path) -> list[dict[str, Any]]:
    """What two runs must have alike of each line of their logs."""
    lines = read_log(out / "log.jsonl")
    return [{name: line[name] for name in EXACT if name in line} for line in lines]


def weights(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted((out / "model").glob("*.safetensors"))}


def files_with(folder: Path, secret: str) -> Iterator[Path]:
    """Files that hold `secret` in their bytes, or in those of a part of a zip file (torch's own format)."""
    import zipfile

    for path in folder.rglob("*"):
        if not path.is_file():
            continue
        contents = [path.read_bytes()]
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as parts:
                contents += [parts.read(name) for name in parts.namelist()]
        if any(form in content for content in contents for form in (secret.encode(), secret.encode("utf-16-le"))):
            yield path
