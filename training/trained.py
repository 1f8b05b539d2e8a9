"""A complete run of `skillmix train`, and the arguments with which lm-eval loads its base and its result."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from pydantic import ValidationError

from grading import UserError
from grading.home import is_own
from skillmix_tasks.commands.embedded import convert_embedded_model, embedded_folder
from training.data.folder import record_of
from training.tune.checksums import check_model
from training.tune.ends import end_tokens, generation_config
from training.tune.recipe import EMBEDDED, Recipe, load_recipe, recipe_names


@dataclass(frozen=True)
class TrainedRun:
    """`base` is the directory or Hub id of the base model, `revision` a commit of the Hub.

    `fingerprint` identifies the weights of the base that it was trained on.
    """

    folder: Path
    recipe: Recipe
    base: str
    revision: str | None
    fingerprint: str

    def model_arguments(self, model: str) -> dict[str, str]:
        """lm-eval's --model_args before and after training, for `model` of lm-eval's registry.

        Raises UserError if a merged model is required and missing, or if the model is damaged.
        """
        before = f"pretrained={self.base}" + (f",revision={self.revision}" if self.revision else "")
        merged = self.folder / "merged"
        check_model(merged if self.recipe.method == "lora" and model != "hf" else self.folder / "model")
        if self.recipe.method == "full":
            return {"before": before, "after": f"pretrained={self.folder / 'model'}"}
        if model == "hf" and not (merged.is_dir() and self._base_never_stops(merged)):
            return {"before": before, "after": f"{before},peft={self.folder / 'model'}"}
        if not merged.is_dir():
            raise UserError(
                f"--model {model} takes the adapter merged into its base, which {self.folder} does not have: type "
                "its `skillmix train` command again with --merge."
            )
        return {"before": before, "after": f"pretrained={merged}"}

    def _base_never_stops(self, merged: Path) -> bool:
        """Whether the base does not stop where the merged model does: with the adapter it would not, either."""
        stops = (end_tokens(generation_config(*one)) for one in ((str(merged), None), (self.base, self.revision)))
        return not set(next(stops)) <= set(next(stops))


def check_base(run: TrainedRun) -> None:
    """Raise UserError, which names the base model, if neither a recipe of ours nor a run of this user names it.

    The author of the folder chose it, and it would be loaded.
    """
    known = {EMBEDDED, *(load_recipe(name).model for name in recipe_names())}
    if run.recipe.model not in known and not is_own((run.folder / "run.json").read_bytes()):
        raise UserError(
            f"{run.folder} is not from your own runs and names the base model {run.recipe.model!r}, which would "
            "be loaded: type --trust-file if you trust the folder."
        )


def read_run(folder: Path) -> TrainedRun:
    """The run in `folder`; UserError if it is missing or incomplete."""
    try:
        record = record_of(folder) or {}
        recipe = Recipe.model_validate(record["recipe"])
        revision, fingerprint = (record["base_model"][name] for name in ("revision", "fingerprint"))
    except (ValidationError, KeyError, TypeError) as error:
        raise UserError(
            f"{folder} holds no run of `skillmix train`: name the folder that its --out had."
        ) from error
    if not (folder / "result.json").is_file():
        raise UserError(
            f"The run in {folder} is incomplete: type its `skillmix train` command again to resume it."
        )
    base = recipe.model
    if base == EMBEDDED:
        base = str(convert_embedded_model(embedded_folder()))
    return TrainedRun(folder, recipe, base, revision, fingerprint)
