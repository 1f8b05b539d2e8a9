"""`skillmix train`: a data set and a recipe to a fine-tuned model, in one folder, which can be resumed.

OUT/run.json      the run: recipe, base model, data, template, packages, leaks
OUT/log.jsonl     a line for each step
OUT/checkpoints/  where the run resumes
OUT/model/        the adapter, or the complete model; OUT/merged/ with --merge
OUT/curves.png    loss, learning rate, speed
OUT/result.json   written last: the figures of a complete run
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import nullcontext
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from grading import UserError
from grading.commands.words import many
from grading.safety.atomic import atomic_file, write_atomic
from training.data.folder import claimed, record_of
from training.tune.checksums import find_damage, is_complete
from training.tune.distributed import accumulation, check_devices, is_main, launch_mode, say, warn, world_size
from training.tune.export import export_model, merge
from training.tune.prepare import Options, Prepared, prepare
from training.tune.recipe import Recipe
from training.tune.resume import Checkpoint, cut_log, has_checkpoint, last_complete, read_log, remove_unusable
from training.tune.tracking import draw_curves

_MADE_WITH = ("versions", "world_size", "distributed_type")


def train(recipe: Recipe, data: str | Sequence[str], out: Path, options: Options | None = None) -> dict[str, Any]:
    """Train what `recipe` says on `data` (training.data.source, one or several) in `out`; return the result.

    The same call resumes a run that was stopped, and only returns the result of a complete one. Raises
    UserError if an input is wrong, `out` holds another run, or a signal stopped this one.
    """
    options = options or Options()
    main, result = is_main(), out / "result.json"

    def begun() -> bool:
        return result.exists() or has_checkpoint(out / "checkpoints")

    before = record_of(out) if begun() else None
    finished = before if result.exists() else None
    _check(recipe, options, done=finished is not None)
    prepared = prepare(recipe, [data] if isinstance(data, str) else data, options, before)
    record = prepared.record
    if finished is not None:  # the packages of its training do not matter for merging or reading it
        record |= {name: finished[name] for name in _MADE_WITH if name in finished}
    with claimed(out, record, "skillmix train", begun) if main else nullcontext():
        if not result.exists():
            _train(prepared, out)
        elif main and _damaged(out / "model"):
            step = json.loads(result.read_text(encoding="utf-8"))["model_step"]
            taken = out / "checkpoints" / f"checkpoint-{step}"
            _check_taken(taken, out)
            export_model(taken, prepared, out / "model")
        if main and options.merge and (not (out / "merged").exists() or _damaged(out / "merged")):
            merge(out / "model", prepared, out / "merged")
        return json.loads(result.read_text(encoding="utf-8")) if main else {}


def result_text(out: Path, result: dict[str, Any]) -> str:
    mfu = f", {result['mfu']:.0%} of its arithmetic" if result["mfu"] else ""
    lines = [
        f"{many(result['steps'], 'step')}{', ended early' if result['stopped'] == 'early' else ''}; "
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


def _check(recipe: Recipe, options: Options, *, done: bool) -> None:
    """Checks before anything is read."""
    wanted = ("torch", "transformers", "trl", "accelerate", "peft")
    missing = next((package for package in wanted if find_spec(package) is None), None)
    if missing:
        raise UserError(f'The package {missing} is missing: type `pip install "skillmix-tasks[train]"`.')
    eight_bit = recipe.optimizer.endswith("8bit")
    if (recipe.four_bit or eight_bit) and find_spec("bitsandbytes") is None:
        what = "four_bit" if recipe.four_bit else f"optimizer {recipe.optimizer}"
        raise UserError(f"{what} needs the package bitsandbytes: type `pip install bitsandbytes`.")
    if options.merge and recipe.method == "full":
        raise UserError("--merge is for adapters, and the method full trains the complete model: leave it out.")
    if done:
        return
    accumulation(recipe.global_batch, recipe.micro_batch, world_size())
    check_devices(four_bit=recipe.four_bit)
    from transformers.integrations.integration_utils import get_available_reporting_integrations

    known: list[str] = get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    for tracker in recipe.report_to:
        if tracker not in known:
            raise UserError(
                f"report_to names {tracker}, which is not installed: install it, or take it out "
                f"(installed: {', '.join(sorted(known)) or 'none'})."
            )


def _train(prepared: Prepared, out: Path) -> None:
    """Train to the end, and make the model from the last checkpoint, or from the best one."""
    from training.tune.sft import fit
    from training.tune.tracking import Totals

    recipe, checkpoints = prepared.recipe, out / "checkpoints"
    start = last_complete(checkpoints)
    line = None
    if is_main():
        remove_unusable(checkpoints, start.step if start else 0)
        line = cut_log(out / "log.jsonl", start.step if start else 0)
    if start:
        say(f"Resumes from step {start.step}.")
    if start is None or not start.is_last:
        rows = len(prepared.train)
        processes = many(world_size(), "process", "processes")
        say(f"{many(rows, 'row')}, {recipe.method}, {recipe.dtype}, {launch_mode()}, {processes}.")
        if recipe.steps is not None and recipe.warmup_steps >= recipe.steps:
            warn(
                f"The warm-up has {many(recipe.warmup_steps, 'step')} and the run {recipe.steps:,}: the learning "
                "rate stays below the recipe's. Type --set warmup_steps=0 for a trial."
            )
        fit(prepared, out, start.path if start else None, Totals.of(line))
    if is_main():
        _finish(prepared, out)


def _damaged(folder: Path) -> bool:
    """Whether a model that was complete is not as it was saved; says so."""
    damage = find_damage(folder) if is_complete(folder) else None
    if damage is not None:
        warn(f"{folder} is damaged ({damage}) and is made again.")
    return damage is not None


def _check_taken(taken: Path, out: Path) -> None:
    """Raise UserError if the checkpoint from which the model is made is damaged."""
    damage = find_damage(taken) if is_complete(taken) else "it is missing"
    if damage is not None:
        raise UserError(
            f"{taken}, from which the model is made, is damaged ({damage}): to train again, run `rm -r "
            f"{out / 'checkpoints'}` and `rm -f {out / 'result.json'}`, then the same command."
        )


def _finish(prepared: Prepared, out: Path) -> None:
    last = last_complete(out / "checkpoints")
    if last is None or not last.is_last:
        raise UserError(f"{out / 'checkpoints'} no longer holds the last step: run the same command again.")
    taken = last.best if prepared.recipe.early_stopping else last.path
    if taken != last.path:
        _check_taken(taken, out)
    export_model(taken, prepared, out / "model")
    log = read_log(out / "log.jsonl")
    with atomic_file(out / "curves.png") as draft:
        draw_curves(draft, log)
    write_atomic(
        out / "result.json", json.dumps(_make_result(last, taken, log, prepared.recipe.dtype), indent=1) + "\n"
    )


def _make_result(last: Checkpoint, taken: Path, log: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
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
        "distributed_type": launch_mode(),
        "device": end["device"],
        "dtype": dtype,
    }
