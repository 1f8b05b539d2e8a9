"""How a run resumes exactly where it stopped: complete checkpoints, the log up to them, and the packages."""

from __future__ import annotations

import json
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import FrameType
from typing import Any

from grading import UserError
from grading.safety.atomic import write_atomic
from training.tune.checksums import MARK, find_damage, is_complete
from training.tune.distributed import warn

_PACKAGES = (
    *("torch", "transformers", "trl", "peft", "accelerate", "datasets", "tokenizers", "numpy", "bitsandbytes"),
    "skillmix-tasks",
)


def versions() -> dict[str, str]:
    """The installed packages on which a run's numbers depend."""
    found = {}
    for package in _PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:  # bitsandbytes, as a rule
            continue
    return found


@dataclass(frozen=True)
class Checkpoint:
    """A complete checkpoint; `state` is the trainer's own."""

    path: Path
    state: dict[str, Any]

    @property
    def step(self) -> int:
        """Steps taken."""
        return int(self.state["global_step"])

    @property
    def is_last(self) -> bool:
        """Whether the training ends here."""
        return self.stopped_early or self.step >= int(self.state["max_steps"])

    @property
    def best(self) -> Path:
        """The checkpoint with the lowest validation loss up to this one; this one if none was measured."""
        step = self.state.get("best_global_step")
        return self.path.with_name(f"checkpoint-{step}") if step else self.path

    @property
    def stopped_early(self) -> bool:
        """Whether early stopping ended the training here."""
        stopping = self.state["stateful_callbacks"].get("EarlyStoppingCallback")
        if not stopping:
            return False
        patience, waited = stopping["args"], stopping["attributes"]
        return bool(waited["early_stopping_patience_counter"] >= patience["early_stopping_patience"])


def has_checkpoint(folder: Path) -> bool:
    """Whether a checkpoint in `folder` was complete once, damaged or not."""
    return any(map(is_complete, _checkpoints(folder)))


def last_complete(folder: Path) -> Checkpoint | None:
    """The latest checkpoint in `folder` that is as it was saved, None if none was; logs which ones are damaged.

    Reads all bytes of the checkpoint. Raises UserError if all are damaged.
    """
    damaged: list[str] = []
    for path in sorted(filter(is_complete, _checkpoints(folder)), key=_step, reverse=True):
        damage = find_damage(path)
        if damage is not None:
            damaged.append(f"{path.name} is damaged ({damage})")
            continue
        if damaged:
            warn(f"{', '.join(damaged)}: {path.name} is taken.")
        if not (path / MARK).stat().st_size:
            warn(f"{path.name} has no checksums, as an earlier release saved it: only sizes are checked.")
        return Checkpoint(path, json.loads((path / "trainer_state.json").read_text(encoding="utf-8")))
    if damaged:
        raise UserError(
            f"No checkpoint in {folder} is complete: {', '.join(damaged)}. To train from the first step, run `rm "
            f"-r {folder}`, then the same command."
        )
    return None


def remove_unusable(folder: Path, step: int) -> None:
    """Remove checkpoints that were never complete, and those after `step`, which are made again."""
    for path in _checkpoints(folder):
        if not is_complete(path) or _step(path) > step:
            shutil.rmtree(path)


def read_log(path: Path) -> list[dict[str, Any]]:
    """The lines of a log, without a last one that was not written to its end."""
    if not path.exists():
        return []
    lines = path.read_text(encoding="utf-8").split("\n")
    return [json.loads(line) for line in lines[:-1]]


def cut_log(path: Path, step: int) -> dict[str, Any] | None:
    """Leave the lines up to `step` in a log, and return the last one about training; None if there is none.

    Later steps are repeated, with the same figures.
    """
    lines = [line for line in read_log(path) if line["step"] <= step]
    write_atomic(path, "".join(json.dumps(line) + "\n" for line in lines))
    trained = [line for line in lines if "loss" in line]
    if step and (not trained or trained[-1]["step"] != step):
        raise UserError(
            f"{path} does not reach the checkpoint of step {step}: put it back, or train in another folder."
        )
    return trained[-1] if trained else None


def _checkpoints(folder: Path) -> list[Path]:
    return [path for path in folder.glob("checkpoint-*") if path.is_dir() and path.name[11:].isdigit()]


def _step(path: Path) -> int:
    return int(path.name[11:])


@dataclass
class Stop:
    """Whether the run was asked to stop, and by which signal."""

    signal: int | None = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take SIGTERM and SIGINT as a request to stop; a second one of them ends the process at once."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _: FrameType | None) -> None:
        stop.signal = number
        for asked in before:
            signal.signal(asked, signal.SIG_DFL)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
