"""The progress of a run: log.jsonl on disk, a line on the screen, and marks of complete checkpoints.

    {"step": 12, "loss": 1.87, "grad_norm": 2.1, "learning_rate": 2e-05, "tokens": 98304, "trained_tokens": 31200,
     "seconds": 41.3, "peak_memory_bytes": 5368709120, "device": "cpu"}
    {"step": 12, "eval_loss": 1.91, ...}

Tokens are useful ones, without padding; trained ones carry loss. All sums go over all processes and, when a run
was stopped, over all its parts.
"""

# ruff: noqa: ARG002 - the trainer hands all of its state to every method

from __future__ import annotations

import json
import math
import os
import re
import resource
import time
from collections import deque
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import torch
from matplotlib.figure import Figure
from tqdm import tqdm
from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from grading import UserError
from training.tune.checksums import mark_complete
from training.tune.resume import Stop

_WINDOW = 20  # steps over which the speed on the screen is taken


# Dense bfloat16 with tensor cores, in FLOP/s, from the vendor's data sheets. The first name that fits counts.
_PEAK: Final = {
    "B200": 2250e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
}


@dataclass
class Totals:
    """The totals of a run so far: tokens that carried loss, all useful tokens, and seconds of training."""

    trained_tokens: int = 0
    tokens: int = 0
    seconds: float = 0.0

    @classmethod
    def of(cls, line: dict[str, Any] | None) -> Totals:
        """The totals in a line of the log; zeros without one."""
        return cls(line["trained_tokens"], line["tokens"], line["seconds"]) if line else cls()


def peak_memory() -> int:
    """The most bytes that this process has used: of the GPU, or without one of the machine."""
    if torch.cuda.is_available():
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


class Tracker(TrainerCallback):
    """Writes the log and shows the progress; marks complete checkpoints; ends the training where `stop` requests
    it.

    `totals` are those that the run resumes from; the trainer counts the tokens among them. A token takes `flops`
    floating-point operations.
    """

    def __init__(self, log: Path, totals: Totals, stop: Stop, flops: float) -> None:
        self._log = log
        self._before = totals.seconds
        self._totals = totals
        self._stop = stop
        self._flops = flops
        self._device = torch.cuda.get_device_name() if torch.cuda.is_available() else "cpu"
        self._peak = peak_flops(self._device)
        self._begun = 0.0
        self._window: deque[tuple[float, int]] = deque(maxlen=_WINDOW)
        self._bar: tqdm[Any] | None = None
        self._parts = 0  # of the first step

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        self._begun = time.perf_counter()
        self._window.append((self._begun, self._totals.tokens))
        if state.is_world_process_zero:
            self._bar = tqdm(
                total=state.max_steps, initial=state.global_step, desc="Training", unit="step", mininterval=1
            )

    def on_substep_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """During the first step, which may take minutes, show what a step takes."""
        if self._bar is not None and len(self._window) == 1:
            self._parts += 1
            seconds = (time.perf_counter() - self._begun) / self._parts * args.gradient_accumulation_steps
            self._bar.set_postfix_str(f"about {seconds:,.0f} s a step")

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> TrainerControl:
        """End the training with a checkpoint if any process was asked to stop."""
        asked = torch.tensor(int(self._stop.signal or 0), device=args.device)
        if args.world_size > 1:
            torch.distributed.all_reduce(asked, op=torch.distributed.ReduceOp.MAX)
        if asked.item():
            self._stop.signal = int(asked.item())
            control.should_save = control.should_training_stop = True
        return control

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a line; raise UserError if the loss is not a number, which training cannot fix."""
        logs = logs or {}
        if "loss" in logs:
            self._check(state.global_step, logs["loss"])
            now = time.perf_counter()
            self._totals.seconds = self._before + now - self._begun
            self._window.append((now, self._totals.tokens))
            line = {name: logs[name] for name in ("loss", "grad_norm", "learning_rate")} | {
                "tokens": self._totals.tokens,
                "trained_tokens": self._totals.trained_tokens,
                "seconds": round(self._totals.seconds, 3),
                "peak_memory_bytes": peak_memory(),
                "device": self._device,
            }
            if self._peak:
                line["mfu"] = round(self._used(self._totals.tokens / self._totals.seconds, args.world_size), 4)
            self._show(state.global_step, logs, args.world_size)
        elif "eval_loss" in logs:
            self._check(state.global_step, logs["eval_loss"])
            line = {"eval_loss": logs["eval_loss"]}
        else:
            return  # the trainer's own summary of what it did in this process
        if state.is_world_process_zero:
            with self._log.open("a", encoding="utf-8") as file:
                file.write(json.dumps({"step": state.global_step} | line) + "\n")
                file.flush()
                os.fsync(file.fileno())  # a checkpoint has the line of its step

    def on_save(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Mark the checkpoint as complete, once every process has written its part.

        Raises UserError if a weight is not a number: the checkpoint then gets no mark, and the one before is kept.
        """
        broken = torch.tensor(int(not _finite(kwargs["model"])), device=args.device)
        if args.world_size > 1:  # which waits for all of them, too
            torch.distributed.all_reduce(broken, op=torch.distributed.ReduceOp.MAX)
        if broken.item():
            raise _diverged(f"Weights are not finite after step {state.global_step}")
        if state.is_world_process_zero:
            mark_complete(Path(str(args.output_dir)) / f"checkpoint-{state.global_step}")

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Leave the line as it is."""
        if self._bar:
            self._bar.close()

    def _check(self, step: int, loss: float) -> None:
        if not math.isfinite(loss):
            raise _diverged(f"The loss is {loss} at step {step}")

    def _show(self, step: int, logs: dict[str, float], world: int) -> None:
        if not self._bar:
            return
        (first, before), (last, after) = self._window[0], self._window[-1]
        speed = (after - before) / (last - first)
        shown = {"loss": f"{logs['loss']:.3f}", "lr": f"{logs['learning_rate']:.2g}", "tokens/s": f"{speed:,.0f}"}
        if self._peak:
            shown["MFU"] = f"{self._used(speed, world):.0%}"
        self._bar.set_postfix(shown, refresh=False)
        self._bar.update(step - self._bar.n)

    def _used(self, speed: float, world: int) -> float:
        """Model FLOPs utilisation at so many tokens a second."""
        return speed * self._flops / ((self._peak or math.inf) * world)


def _diverged(what: str) -> UserError:
    return UserError(
        f"{what}, so the training diverged: start again in another folder, with a smaller learning_rate, more "
        "warmup_steps or another dtype. Checkpoints of earlier steps are kept."
    )


def _finite(model: torch.nn.Module) -> bool:
    """Whether all trained weights are numbers, of sharded ones those of this process."""
    own = (getattr(weight, "_local_tensor", weight) for weight in model.parameters() if weight.requires_grad)
    return all(bool(weight.isfinite().all()) for weight in own)


def draw_curves(path: Path, log: list[dict[str, Any]]) -> None:
    """Write a PNG of the loss (with that on the validation split, if measured), the learning rate and the pace."""
    figure = Figure(figsize=(12, 4), layout="constrained")
    loss, rate, pace = figure.subplots(1, 3)
    trained = [line for line in log if "loss" in line]
    measured = [line for line in log if "eval_loss" in line]
    steps = [line["step"] for line in trained]
    loss.plot(steps, [line["loss"] for line in trained], linewidth=1, label="training")
    if measured:
        points = [line["step"] for line in measured]
        loss.plot(points, [line["eval_loss"] for line in measured], marker="o", markersize=3, label="validation")
        loss.legend()
    rate.plot(steps, [line["learning_rate"] for line in trained], linewidth=1)
    pace.plot(steps, [line["tokens"] / line["seconds"] for line in trained], linewidth=1)
    for axes, title in ((loss, "loss"), (rate, "learning rate"), (pace, "useful tokens a second, so far")):
        axes.set_title(title)
        axes.set_xlabel("step")
    figure.savefig(path, format="png", dpi=100, metadata={"Software": None})


def peak_flops(device: str) -> float | None:
    """The peak of one GPU of that name; None if it is not known."""
    return next((peak for name, peak in _PEAK.items() if re.search(rf"\b{re.escape(name)}\b", device)), None)


def flops_per_token(model: torch.nn.Module) -> float:
    """Floating-point operations that training needs for a token, without attention's part that grows with length.

    Two for each weight forward, two backward, and two more for each that is trained. Input embeddings, which are
    looked up, do not count; repeated work of activation checkpointing does not count either.
    """
    looked_up = model.get_input_embeddings().weight  # type: ignore[operator]
    shared = any(
        name.endswith("lm_head.weight") and weight is looked_up
        for name, weight in model.named_parameters(remove_duplicate=False)
    )
    total = 0.0
    for weight in model.parameters():
        if weight is not looked_up or shared:
            # A 4-bit weight holds two in each element of its storage.
            size = weight.numel() * (2 if weight.__class__.__name__ == "Params4bit" else 1)
            total += size * (6 if weight.requires_grad else 4)
    return total
