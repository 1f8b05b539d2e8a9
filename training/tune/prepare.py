"""The inputs of a training run: its base model, its rows as tokens, and the record of them all."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any

from datasets import Dataset

from grading import UserError
from grading.commands.words import many
from grading.models.fingerprint import cached_commit, check_model_path, weights_fingerprint
from skillmix_tasks.commands.embedded import convert_embedded_model, embedded_folder
from training.data.leakage import Leakage
from training.data.source import Data, open_data
from training.tune.distributed import launch_mode, say, world_size
from training.tune.encode import encode, tokenizer_identity
from training.tune.ends import check_ends
from training.tune.lengths import Lengths, OnTooLong, check_lengths, fit
from training.tune.marking import end_token, marked_template
from training.tune.recipe import EMBEDDED, Recipe
from training.tune.resume import versions

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """The options of a run beside its recipe."""

    on_too_long: OnTooLong = "fail"
    allow_leaks: bool = False
    pack: str | None = None  # of the rows, for the check for leaks
    merge: bool = False


@dataclass(frozen=True)
class Base:
    """The base model: its place, its name without a path, and the identity of its weights."""

    model: str
    name: str
    revision: str | None
    fingerprint: str


@dataclass(frozen=True)
class Prepared:
    """The recipe, its base model, the rows as they are trained on, and the run's record (run.json).

    `end` is the token with which the trained model ends its answers.
    """

    recipe: Recipe
    base: Base
    end: int
    tokenizer: PreTrainedTokenizerBase
    train: Dataset
    validation: Dataset | None
    record: dict[str, Any]


def find_base(recipe: Recipe, before: dict[str, Any] | None = None) -> Base:
    """The base model of a recipe; `before` is the record of the resumed run. UserError if it cannot be loaded."""
    if recipe.model == EMBEDDED:
        directory = convert_embedded_model(embedded_folder())
        # Its files are made anew on each machine; what they are made of is one release of one package.
        return Base(str(directory), directory.name, None, EMBEDDED)
    check_model_path(recipe.model)
    if Path(recipe.model).is_dir():
        return Base(recipe.model, Path(recipe.model).resolve().name, None, weights_fingerprint(recipe.model))
    from transformers import AutoConfig

    revision = recipe.revision or _begun_with(recipe, before)
    try:
        AutoConfig.from_pretrained(recipe.model, revision=revision)  # brings it into the cache
    except (OSError, ValueError) as error:
        raise UserError(
            f"The model {recipe.model} cannot be loaded ({_flat(error)}): check its name and the network, name a "
            "directory with --set model=DIR, or take another of `skillmix recipes`."
        ) from error
    commit = cached_commit(recipe.model, revision)
    return Base(recipe.model, recipe.model, commit, commit or "unresolved")


def _begun_with(recipe: Recipe, before: dict[str, Any] | None) -> str | None:
    """The commit that the resumed run started from: its branch may have moved since."""
    asked, base = ((before or {}).get(name) for name in ("recipe", "base_model"))
    if not (isinstance(asked, dict) and isinstance(base, dict)):
        return None
    if asked.get("revision") is not None or base.get("name") != recipe.model:
        return None
    revision: str | None = base.get("revision")
    return revision


def prepare(
    recipe: Recipe, data: Sequence[str], options: Options, before: dict[str, Any] | None = None
) -> Prepared:
    """Read the base model's tokenizer and the data sets `data`, and make rows of tokens.

    `before` is the record of the resumed run. Raises UserError if either cannot be loaded, rows are too
    long, or they leak into a task of the recipe.
    """
    from transformers import AutoTokenizer

    base = find_base(recipe, before)
    try:
        tokenizer = AutoTokenizer.from_pretrained(base.model, revision=base.revision)
    except (OSError, ValueError) as error:
        raise UserError(f"The model {recipe.model} has no tokenizer that loads ({_flat(error)}).") from error
    source = open_data(data, recipe.data_config, recipe.seed)
    template = marked_template(tokenizer)
    end = end_token(tokenizer, template)
    if recipe.method == "lora" and not options.merge:
        check_ends(base.model, base.revision, end, recipe.model, str(tokenizer.convert_ids_to_tokens(end)))
    splits = [encode(rows, tokenizer, template) for rows in (source.train, source.validation) if rows]
    encoded, validation = splits[0], splits[1] if len(splits) > 1 else None
    lengths = Lengths.of(encoded.lengths, recipe.max_length)
    say(lengths.text())
    if options.on_too_long == "fail":
        check_lengths(splits, recipe.max_length)
    rows, left_out = fit(encoded, recipe.max_length, options.on_too_long)
    if left_out:
        say(f"Left out: {many(left_out, 'row')} (--on-too-long {options.on_too_long}).")
    if not len(rows):
        raise UserError(f"No row is left to train on: all are longer than max_length {recipe.max_length:,}.")
    held, held_out_too_long = fit(validation, recipe.max_length, options.on_too_long) if validation else (None, 0)
    if held_out_too_long:
        say(f"Left out of the validation split: {many(held_out_too_long, 'row')}.")
    if recipe.early_stopping and not held:
        raise UserError(
            f"early_stopping needs a validation split, which {' + '.join(data)} does not have: type --set "
            "early_stopping=null."
        )
    leaks = _leaks(recipe, source, options)
    record = {
        "recipe": recipe.model_dump(mode="json"),
        "base_model": {"name": base.name, "revision": base.revision, "fingerprint": base.fingerprint},
        "data": source.record()
        | {
            "fingerprint": encoded.fingerprint + (f"-{validation.fingerprint}" if validation else ""),
            "rows": len(rows),
            "validation_rows": len(held) if held else 0,
            "mixed": encoded.mixed,
            "turns": {str(number): rows for number, rows in sorted(encoded.turns.items())},
            "lengths": lengths.record(),
            "on_too_long": options.on_too_long,
            "left_out": left_out,
            "validation_left_out": held_out_too_long,
        },
        "tokenizer": tokenizer_identity(tokenizer)[:16],
        "template": sha256(template.encode()).hexdigest(),
        "distributed_type": launch_mode(),
        "world_size": world_size(),
        "versions": versions(),
        "leaks": leaks and leaks.record(),
    }
    columns = ["input_ids", "labels"]
    return Prepared(
        recipe=recipe,
        base=base,
        end=end,
        tokenizer=tokenizer,
        train=rows.select_columns(columns),
        validation=held.select_columns(columns) if held else None,
        record=record,
    )


def _leaks(recipe: Recipe, source: Data, options: Options) -> Leakage | None:
    """The check against the recipe's tasks; None without tasks, or if it is impossible and waived."""
    if not recipe.checked_tasks:
        return None
    try:
        found = source.leaks(recipe.checked_tasks, options.pack)
    except UserError:
        if options.allow_leaks:
            return None
        raise
    if found.leaks:
        kinds = ", ".join(f"{kind} ({many(number, 'row')})" for kind, number in found.counts.items() if number)
        if not options.allow_leaks:
            raise UserError(
                f"{source.name} leaks into the tasks of the recipe: {kinds}. `skillmix leaks` shows the rows; "
                "--allow-leaks trains on them anyway."
            )
        logger.warning("%s leaks into the tasks of the recipe: %s.", source.name, kinds)
    return found


def _flat(error: Exception) -> str:
    return " ".join(str(error).split())
