"""`skillmix train`: a data set and a recipe to a fine-tuned model, in one folder that can be gone on with.

OUT/run.json      what the run is: recipe, base model, data, template, packages, leaks
OUT/log.jsonl     a line for each step
OUT/checkpoints/  what the run goes on from
OUT/model/        the adapter, or the whole model; OUT/merged/ with --merge
OUT/curves.png    loss, learning rate, speed
OUT/result.json   written last: the figures of a run that is whole
"""

from __future__ import annotations

import json
import logging
from contextlib import nullcontext
from dataclasses import dataclass
from hashlib import sha256
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading import UserError
from grading.fingerprint import check_model_path, weights_fingerprint
from grading.home import home
from skillmix_tasks.embedded import convert_embedded_model
from training.curves import draw_curves
from training.distributed import accumulation, asked_for, check_devices, is_main, world_size
from training.encode import Encoded, encode
from training.export import export_model, merge
from training.folder import claimed
from training.leakage import Leakage
from training.lengths import Lengths, OnTooLong, fit
from training.marking import marked_template
from training.recipe import EMBEDDED, Recipe
from training.resume import Checkpoint, cut_log, last_whole, read_log, remove_incomplete, versions
from training.source import Source, open_source

if TYPE_CHECKING:
    from datasets import Dataset
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What is asked of a run beside its recipe."""

    on_too_long: OnTooLong = "fail"
    allow_leaks: bool = False
    merge: bool = False


@dataclass(frozen=True)
class _Base:
    """The base model: where it is, its name without a path, and what tells its weights apart."""

    model: str
    name: str
    revision: str | None
    fingerprint: str


@dataclass(frozen=True)
class _Prepared:
    """The rows as they are trained on, and the run's record."""

    train: Dataset
    validation: Dataset | None
    record: dict[str, Any]


def train(recipe: Recipe, data: str, out: Path, options: Options | None = None) -> dict[str, Any]:
    """Train what `recipe` says on `data` (a directory, or a data set of the Hub) in `out`; return the result.

    The same call goes on with a run that was stopped, and only returns the result of one that is whole. Raises
    UserError if an input is wrong, `out` holds another run, or a signal stopped this one.
    """
    options = options or Options()
    _check(recipe, options)
    base = _find(recipe)
    from transformers import AutoTokenizer

    try:
        tokenizer = AutoTokenizer.from_pretrained(base.model, revision=base.revision)
    except (OSError, ValueError) as error:
        raise UserError(f"The model {recipe.model} has no tokenizer that loads ({_flat(error)}).") from error
    prepared = _prepare(recipe, base, tokenizer, open_source(data, recipe.data_config), data, options)
    main = is_main()
    with claimed(out, prepared.record, "skillmix train") if main else nullcontext():
        result = out / "result.json"
        if not result.exists():
            _train(recipe, base, tokenizer, prepared, out)
        if main and options.merge and not (out / "merged").exists():
            merge(out / "model", recipe, base.model, base.revision, out / "merged")
        return json.loads(result.read_text(encoding="utf-8")) if main else {}


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


def _check(recipe: Recipe, options: Options) -> None:
    """What can be known before anything is read."""
    wanted = ("torch", "transformers", "trl", "accelerate", "peft")
    missing = next((package for package in wanted if find_spec(package) is None), None)
    if missing:
        raise UserError(f'The package {missing} is missing: type `pip install "skillmix-tasks[train]"`.')
    eight_bit = recipe.optimizer.endswith("8bit")
    if (recipe.four_bit or eight_bit) and find_spec("bitsandbytes") is None:
        what = "four_bit" if recipe.four_bit else f"optimizer {recipe.optimizer}"
        raise UserError(f"{what} needs the package bitsandbytes: type `pip install bitsandbytes`.")
    if options.merge and recipe.method == "full":
        raise UserError("--merge is for adapters, and the method full trains the whole model: leave it out.")
    accumulation(recipe.global_batch, recipe.micro_batch, world_size())
    check_devices()
    from transformers.integrations.integration_utils import get_available_reporting_integrations

    known: list[str] = get_available_reporting_integrations()  # type: ignore[no-untyped-call]
    for tracker in recipe.report_to:
        if tracker not in known:
            raise UserError(
                f"report_to names {tracker}, which is not installed: install it, or take it out "
                f"(installed: {', '.join(sorted(known)) or 'none'})."
            )


def _find(recipe: Recipe) -> _Base:
    if recipe.model == EMBEDDED:
        directory = convert_embedded_model(home() / "models" / "smollm2-135m-instruct")
        # Its files are made anew on each machine; what they are made of is one release of one package.
        return _Base(str(directory), directory.name, None, EMBEDDED)
    check_model_path(recipe.model)
    if Path(recipe.model).is_dir():
        return _Base(recipe.model, Path(recipe.model).resolve().name, None, weights_fingerprint(recipe.model))
    from transformers import AutoConfig

    try:
        config = AutoConfig.from_pretrained(recipe.model, revision=recipe.revision)
    except (OSError, ValueError) as error:
        raise UserError(f"The model {recipe.model} cannot be had ({_flat(error)}).") from error
    commit = getattr(config, "_commit_hash", None) or recipe.revision
    return _Base(recipe.model, recipe.model, commit, commit or "unresolved")


def _prepare(
    recipe: Recipe, base: _Base, tokenizer: PreTrainedTokenizerBase, source: Source, data: str, options: Options
) -> _Prepared:
    template = marked_template(tokenizer)
    encoded = encode(source.train, tokenizer, template)
    lengths = Lengths.of(encoded.lengths, recipe.max_length)
    _say(lengths.text())
    rows, left_out = fit(encoded, recipe.max_length, options.on_too_long)
    if left_out:
        _say(f"{left_out:,} rows are left out (--on-too-long {options.on_too_long}).")
    validation: Encoded | None = None
    held: Dataset | None = None
    if source.validation is not None and len(source.validation):
        validation = encode(source.validation, tokenizer, template)
        held, _ = fit(validation, recipe.max_length, options.on_too_long)
    if recipe.early_stopping and held is None:
        raise UserError(
            f"early_stopping needs a validation split, which {data} has not: type --set early_stopping=null."
        )
    leaks = _leaks(recipe, source, options)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "base_model": {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint},
        "data": {
            "name": source.name,
            "revision": source.revision,
            "config": source.config,
            "fingerprint": encoded.fingerprint + (f"-{validation.fingerprint}" if validation else ""),
            "rows": len(rows),
            "validation_rows": len(held) if held is not None else 0,
            "mixed": encoded.mixed,
            "turns": {str(number): rows for number, rows in sorted(encoded.turns.items())},
            "lengths": lengths.record(),
            "on_too_long": options.on_too_long,
            "left_out": left_out,
        },
        "template": sha256(template.encode()).hexdigest(),
        "distributed_type": asked_for(),
        "world_size": world_size(),
        "versions": versions(),
        "leaks": leaks and leaks.record(),
    }
    columns = ["input_ids", "labels"]
    return _Prepared(rows.select_columns(columns), held and held.select_columns(columns), record)


def _leaks(recipe: Recipe, source: Source, options: Options) -> Leakage | None:
    """The check against the recipe's tasks; None if there are none, or if it cannot be made and is waived."""
    if not recipe.checked_tasks:
        return None
    try:
        found = source.leaks(recipe.checked_tasks)
    except UserError:
        if options.allow_leaks:
            return None
        raise
    if found.leaks:
        kinds = ", ".join(f"{kind} ({number:,} rows)" for kind, number in found.counts.items() if number)
        if not options.allow_leaks:
            raise UserError(
                f"{source.name} gives away what the tasks of the recipe ask: {kinds}. `skillmix leaks` shows the "
                "rows; --allow-leaks trains on them all the same."
            )
        logger.warning("%s gives away what the tasks of the recipe ask: %s.", source.name, kinds)
    return found


def _train(
    recipe: Recipe, base: _Base, tokenizer: PreTrainedTokenizerBase, prepared: _Prepared, out: Path
) -> None:
    """Train to the end, and make of the last checkpoint, or of the best one, what the run is for."""
    from training.sft import Job
    from training.sft import fit as fit_model
    from training.tracking import Totals

    checkpoints, log = out / "checkpoints", out / "log.jsonl"
    start = last_whole(checkpoints)
    line = None
    if is_main():
        remove_incomplete(checkpoints)
        line = cut_log(log, start.step if start else 0)
    if start:
        _say(f"Goes on from step {start.step}.")
    if start is None or not _is_last(start):
        job = Job(
            recipe=recipe,
            model=base.model,
            revision=base.revision,
            tokenizer=tokenizer,
            train=prepared.train,
            validation=prepared.validation,
            checkpoints=checkpoints,
            log=log,
        )
        _say(f"{len(job.train):,} rows, {recipe.method}, {recipe.dtype}, {asked_for()} on {world_size()}.")
        fit_model(job, start.path if start else None, Totals.of(line))
    if is_main():
        _finish(recipe, base, out)


def _is_last(checkpoint: Checkpoint) -> bool:
    return checkpoint.stopped_early or checkpoint.step >= checkpoint.state["max_steps"]


def _finish(recipe: Recipe, base: _Base, out: Path) -> None:
    last = last_whole(out / "checkpoints")
    if last is None:
        raise UserError(f"{out / 'checkpoints'} holds no whole checkpoint any more: train in another folder.")
    taken = last.best if recipe.early_stopping else last.path
    export_model(taken, recipe, base.model, base.revision, out / "model")
    log = read_log(out / "log.jsonl")
    draw_curves(out / "curves.png", log)
    draft = out / ".result.json"
    draft.write_text(json.dumps(_result(last, taken, log, recipe.dtype), indent=1) + "\n", encoding="utf-8")
    draft.replace(out / "result.json")


def _result(last: Checkpoint, taken: Path, log: list[dict[str, Any]], dtype: str) -> dict[str, Any]:
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


def _say(line: str) -> None:
    if is_main():
        logger.info(line)


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
