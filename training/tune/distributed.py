"""The number of processes of a run, its batch, and a check that they work together."""

from __future__ import annotations

import logging
import os

from grading import UserError

logger = logging.getLogger(__name__)

ADVICE = "accelerate launch --config_file $(skillmix fsdp2)"


def world_size() -> int:
    """The number of processes that `accelerate launch` or `torchrun` started; 1 without them."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def is_main() -> bool:
    """Whether this process is the one that writes."""
    return int(os.environ.get("RANK", "0")) == 0


def accumulation(global_batch: int, micro_batch: int, world: int) -> int:
    """How many micro batches each of `world` devices takes before a step, so that a step has `global_batch` rows.

    Raises UserError if that is not a whole number.
    """
    at_once = micro_batch * world
    if global_batch % at_once:
        fitting = [size for size in range(1, micro_batch + 1) if global_batch % (size * world) == 0]
        advice = f"type --set micro_batch={fitting[-1]}" if fitting else "use fewer, or another global_batch"
        raise UserError(
            f"A global batch of {global_batch} cannot be made of micro batches of {micro_batch} on {world} "
            f"{'process' if world == 1 else 'processes'}: {advice}."
        )
    return global_batch // at_once


def launch_mode() -> str:
    """The launcher's request: fsdp, deepspeed, ddp or single."""
    for name in ("fsdp", "deepspeed"):
        if os.environ.get(f"ACCELERATE_USE_{name.upper()}", "false").lower() in ("1", "true"):
            return name
    return "ddp" if world_size() > 1 else "single"


def say(line: str) -> None:
    """Log a line, once for all processes."""
    if is_main():
        logger.info(line)


def warn(line: str) -> None:
    """Log a warning, once for all processes."""
    if is_main():
        logger.warning(line)


def check_devices(*, four_bit: bool) -> None:
    """Raise UserError if the request cannot run here: without a GPU, FSDP silently does nothing."""
    import torch

    if four_bit and not torch.accelerator.is_available():
        raise UserError("four_bit needs a GPU: type --set four_bit=false.")
    if launch_mode() == "fsdp" and not torch.accelerator.is_available():
        raise UserError(
            "The launcher requested FSDP, which does not run without a GPU (each process would train the "
            "complete model): leave its configuration out."
        )
    if launch_mode() == "single" and torch.cuda.device_count() > 1:
        raise UserError(
            f"{torch.cuda.device_count()} GPUs are visible to one process: begin the command with "
            f"CUDA_VISIBLE_DEVICES=0 for one of them, or with {ADVICE} -m for all."
        )
    if launch_mode() == "deepspeed":
        raise UserError(f"DeepSpeed is not supported: type {ADVICE}.")


def check_running(distributed_type: str, world: int, *, precision: str, dtype: str) -> None:
    """Raise UserError unless the trainer runs as requested.

    `distributed_type` and `precision` are accelerate's names for how it runs, `world` the number of processes that
    it knows of, and `dtype` the recipe's.
    """
    if precision != {"bfloat16": "bf16", "float32": "no"}[dtype]:
        raise UserError(
            f"The recipe has the dtype {dtype}, but the launcher's mixed_precision is {precision}: leave that out."
        )
    asked = launch_mode()
    really = {"NO": "single", "FSDP": "fsdp", "DEEPSPEED": "deepspeed"}.get(distributed_type, "ddp")
    if really != asked or world != world_size():
        raise UserError(
            f"The launcher requested {asked} on {world_size()} processes, but {really} runs on {world} "
            f"({distributed_type}): check the launcher's configuration."
        )
