"""The figures of a whole run: result.json, and the last lines on the screen."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from training.tune.distributed import asked_for, world_size
from training.tune.resume import Checkpoint


def make_result(last: Checkpoint, taken: Path, log: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
    """The result of a run that ended with the checkpoint `last` and whose model is made of `taken`."""
    trained = [line for line in log if "loss" in line]
    measured = {line["step"]: line["eval_loss"] for line in log if "eval_loss" in line}
    end = trained[-1]
    return {
        "steps": last.step,
        "stopped": "early" if last.stopped_early else "end",
        "model_step": int(taken.name.rpartition("-")[2]),
        "loss": end["loss"],
        "eval_loss": measured.get(int(taken.name.rpartition("-")[2])),
        "tokens": end["tokens"],
        "trained_tokens": end["trained_tokens"],
        "seconds": end["seconds"],
        "tokens_per_second": round(end["tokens"] / end["seconds"], 1),
        "mfu": end.get("mfu"),
        "peak_memory_bytes": max(line["peak_memory_bytes"] for line in trained),
        "world_size": world_size(),
        "distributed_type": asked_for(),
        "device": end["device"],
        "dtype": dtype,
    }


def result_text(out: Path, result: dict[str, Any]) -> str:
    """The end of a run for a reader."""
    mfu = f", {result['mfu']:.0%} of its arithmetic" if result["mfu"] else ""
    lines = [
        f"{result['steps']:,} steps, ended {'early' if result['stopped'] == 'early' else 'as the recipe says'}; "
        f"loss {result['loss']:.3f}"
        + (f", on the validation split {result['eval_loss']:.3f}." if result["eval_loss"] is not None else "."),
        f"{result['tokens']:,} tokens, {result['trained_tokens']:,} with loss, in {result['seconds']:,.0f} s: "
        f"{result['tokens_per_second']:,.0f} tokens a second on {result['world_size']} x {result['device']}{mfu}; "
        f"peak memory {result['peak_memory_bytes'] / 2**30:.1f} GiB.",
        f"The model is {out / 'model'}, the curves are {out / 'curves.png'}.",
    ]
    if (out / "merged").exists():
        lines.append(f"Merged with its base it is {out / 'merged'}.")
    return "\n".join(lines)
