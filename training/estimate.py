"""What data, training and evaluation will take, told before any of it is begun: dollars, and hours of a GPU.

Prompts are counted from those of the plan's first cells and of the tasks' first items. What cannot be counted
stands in estimate.yaml with its source, and is printed with the result.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from importlib.resources import files
from itertools import islice
from typing import Any

import yaml

from grading import JudgeSpec, Usage, UserError
from grading.cost.estimate import BYTES_PER_TOKEN, COMPLETION_OF_TEXT, COMPLETION_PER_CRITERION
from grading.models.spec import ModelSpec
from grading.protocol.prompt import build_messages
from skillmix_tasks.cells import evaluation_cells
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_named
from skillmix_tasks.items.draw import Item, sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, bundled_packs
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.metrics import GENERATIONS
from skillmix_tasks.scoring.rubric import grading_request
from training.texts.plan import Kind, Plan, cells
from training.texts.teacher import TeacherSpec
from training.tune.recipe import Recipe

_LOOKED_AT = 20  # cells of a kind, and items of a task
_MODELS = 2  # before and after
_REPLY = round(COMPLETION_OF_TEXT)


@dataclass(frozen=True)
class Part:
    """A step: what it does, and what is paid for it.

    `usage` has the tokens of its calls to teacher and judge. `dollars` is None where a price is not known, and
    `gpu_hours` where the model's size is not.
    """

    name: str
    work: str
    usage: Usage
    dollars: float | None
    gpu_hours: float | None

    def text(self) -> str:
        """The part for a reader."""
        words = [self.work]
        if self.usage:
            words.append(f"{self.usage.prompt / 1e6:,.1f} + {self.usage.completion / 1e6:,.1f} million tokens")
            words.append(_dollars(self.dollars))
        if self.gpu_hours != 0:
            words.append(_hours(self.gpu_hours))
        return f"{self.name}: {'; '.join(words)}."


@dataclass(frozen=True)
class Estimate:
    """All parts, and what they take for granted."""

    parts: list[Part]
    assumptions: dict[str, Any]

    def record(self) -> dict[str, Any]:
        """The estimate as JSON."""
        return {"parts": [asdict(part) for part in self.parts], "assumptions": self.assumptions}

    def text(self) -> str:
        """The estimate for a reader."""
        known = self.assumptions
        accepted = ", ".join(f"{share:.0%} with k = {k}" for k, share in known["acceptance"].items())
        rates = ", ".join(f"{rate:,} ({method})" for method, rate in known["train_tokens_per_second"].items())
        dollars, hours = _total(one.dollars for one in self.parts), _total(one.gpu_hours for one in self.parts)
        return "\n".join(
            [
                *(part.text() for part in self.parts),
                f"In all: {_dollars(dollars)}; {_hours(hours)} (one {known['gpu']}).",
                f"Taken for granted: {_REPLY} tokens in a reply; one prompt for all votes on an answer; accepted "
                f"{accepted} ({known['acceptance_source']}); tokens a second of one GPU and {known['billions']:g} "
                f"billion parameters: in training {rates} ({known['train_source']}), in generating "
                f"{known['generate_tokens_per_second']:,} ({known['generate_source']}).",
            ]
        )


def estimate(
    plan: Plan,
    teacher: TeacherSpec,
    judges: Sequence[JudgeSpec],
    recipe: Recipe | None,
    *,
    pack_name: str = "language",
    tasks: Sequence[str] = (),
    items: int = 100,
) -> Estimate:
    """What `skillmix generate` on a pack, `train` and `compare` will take.

    `pack_name` is a bundled pack or a directory. `tasks` are the recipe's if there are none, each with `items`
    items; a task of another bundled pack is estimated on that one. Without a recipe the texts alone are
    estimated. Raises UserError for an unknown task.
    """
    pack = load_pack(pack_name)
    excluded = evaluation_cells(pack, plan.ks)
    kinds = {kind: list(islice(cells(pack, kind, plan, 0, excluded), _LOOKED_AT)) for kind in plan.kinds}
    parts = [_texts(pack, kinds, teacher, judges)]
    if recipe is not None:
        parts.append(_training(pack, kinds, recipe))
        parts.append(_evaluation(pack, judges, recipe, tasks or recipe.eval_tasks, items))
    elif tasks:
        raise UserError("--tasks are answered by a trained model: name its recipe, too (`skillmix recipes`).")
    return Estimate(parts, _known())


def _texts(pack: Pack, kinds: dict[Kind, list[Item]], teacher: TeacherSpec, judges: Sequence[JudgeSpec]) -> Part:
    written, judged = Usage(), [Usage() for _ in judges]
    for kind, items in kinds.items():
        share = _tries(kind) / len(items)
        for item in items:
            written += _first_turn(pack, item).times(share) + _second_turn(pack, item).times(share)
            judged = [
                sum_ + _votes(pack, item, judge).times(share) for sum_, judge in zip(judged, judges, strict=True)
            ]
    usage, dollars = _paid([(teacher, written), *zip(judges, judged, strict=True)])
    work = f"{sum(map(_tries, kinds)):,} tries with k = {', '.join(str(kind.k) for kind in kinds)}"
    return Part("Texts", work, usage, dollars, 0.0)


def _training(pack: Pack, kinds: dict[Kind, list[Item]], recipe: Recipe) -> Part:
    accepted = {kind: _tries(kind) * _acceptance(kind.k) for kind in kinds}
    tokens = sum(
        accepted[kind] / len(items) * (second.prompt + second.completion)
        for kind, items in kinds.items()
        for second in (_second_turn(pack, item) for item in items)
    )
    row = tokens / sum(accepted.values())
    rows = recipe.global_batch * recipe.steps if recipe.steps else (recipe.epochs or 1) * sum(accepted.values())
    rate = _known()["train_tokens_per_second"][recipe.method]
    work = f"{rows:,.0f} rows of about {row:,.0f} tokens ({recipe.method}, {recipe.model})"
    return Part("Training", work, Usage(), 0.0, _gpu_hours(rows * row / rate, recipe.model))


def _evaluation(pack: Pack, judges: Sequence[JudgeSpec], recipe: Recipe, tasks: Sequence[str], items: int) -> Part:
    specs = bundled_tasks()
    names = list(dict.fromkeys(name for task in tasks for name in tasks_named(task)))
    number = items * GENERATIONS * _MODELS
    judged = [Usage() for _ in judges]
    for name in names:
        k, split = specs[name].k, specs[name].split
        asked = pack if pack.about.id not in bundled_packs() else load_pack(specs[name].pack)
        drawn = sample_items(asked, task=name, k=k, split=split, seed=0, number=_LOOKED_AT)
        for item in drawn:
            judged = [
                sum_ + _votes(asked, item, judge).times(number / len(drawn))
                for sum_, judge in zip(judged, judges, strict=True)
            ]
    usage, dollars = _paid(list(zip(judges, judged, strict=True)))
    answers = len(names) * number
    seconds = answers * 2 * _REPLY / _known()["generate_tokens_per_second"]
    work = f"{answers:,} answers to {len(names)} tasks, before and after"
    return Part("Evaluation", work, usage, dollars, _gpu_hours(seconds, recipe.model))


def _tries(kind: Kind) -> int:
    if kind.accept is None:
        return kind.tries or 0
    needed = math.ceil(kind.accept / _acceptance(kind.k))
    return min(needed, kind.tries) if kind.tries else needed


def _acceptance(k: int) -> float:
    shares: dict[int, float] = _known()["acceptance"]
    return shares[min(k, max(shares))]


def _first_turn(pack: Pack, item: Item) -> Usage:
    return Usage(_tokens(render(pack, "turn1", item)), _REPLY)


def _second_turn(pack: Pack, item: Item) -> Usage:
    """Its prompt holds the first turn whole."""
    first = _first_turn(pack, item)
    return Usage(first.prompt + first.completion + _tokens(render(pack, "turn2", item)), _REPLY)


def _votes(pack: Pack, item: Item, judge: JudgeSpec) -> Usage:
    """All votes of a judge on one answer."""
    request = grading_request(pack, item, " " * round(_known()["answer_tokens"] * BYTES_PER_TOKEN))
    completion = COMPLETION_PER_CRITERION * len(request.criteria) * judge.votes
    return Usage(sum(_tokens(message["content"]) for message in build_messages(request)), round(completion))


def _tokens(text: str) -> int:
    return round(len(text.encode()) / BYTES_PER_TOKEN)


def _paid(used: Iterable[tuple[ModelSpec, Usage]]) -> tuple[Usage, float | None]:
    """The tokens in all, and their price where each model's is known."""
    usages = list(used)
    return sum((usage for _, usage in usages), Usage()), _total(spec.dollars(usage) for spec, usage in usages)


def _total(numbers: Iterable[float | None]) -> float | None:
    known = list(numbers)
    return None if None in known else sum(number or 0.0 for number in known)


def _gpu_hours(seconds: float, model: str) -> float | None:
    """Hours for a model for which `seconds` would do if it had the size that the rates are for."""
    billions = _known()["billions_of_parameters"].get(model)
    return None if billions is None else seconds * billions / _known()["billions"] / 3600


def _dollars(dollars: float | None) -> str:
    return "the price is not known" if dollars is None else f"${dollars:,.0f}"


def _hours(hours: float | None) -> str:
    return "GPU hours are not known" if hours is None else f"{hours:,.1f} GPU hours"


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = yaml.safe_load(files("training").joinpath("estimate.yaml").read_text(encoding="utf-8"))
    return known
