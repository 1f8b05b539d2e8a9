"""Estimates of data, training and evaluation, before any of it begins: dollars, and hours of a GPU.

Prompts are counted from those of the plan's first cells and of the tasks' first items. Figures that cannot be
counted are in estimate.yaml with their sources, and are printed with the result. Of an experiment it is
training/experiment/estimate.py that puts the parts together.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cache
from itertools import islice
from typing import Any

from grading import JudgeSpec, Usage, UserError
from grading.commands.words import many
from grading.cost.estimate import BYTES_PER_TOKEN, COMPLETION_OF_TEXT, COMPLETION_PER_CRITERION
from grading.cost.stats import sum_known
from grading.models.price import PRICES_VARIABLE
from grading.models.spec import ModelSpec
from grading.protocol.prompt import build_messages
from grading.safety.bounds import own_yaml
from skillmix_tasks.cells import evaluation_cells
from skillmix_tasks.harness.task_files import bundled_tasks, tasks_named
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack, bundled_packs
from skillmix_tasks.items.prompts import render
from skillmix_tasks.scoring.metrics import GENERATIONS
from skillmix_tasks.scoring.rubric import grading_request
from training.texts.plan import Kind, Plan, cells, check_cells, number_of_cells
from training.texts.teacher import TeacherSpec
from training.tune.recipe import Recipe

_LOOKED_AT = 20  # cells of a kind, and items of a task
_MODELS = 2  # before and after
_REPLY = round(COMPLETION_OF_TEXT)
_Used = dict[tuple[int, int], Usage]  # by the model's place and k
_OF_GPU = ("gpu", "billions", "train_source", "generate_tokens_per_second", "generate_source")


@dataclass(frozen=True)
class Calls:
    """A model's usage for texts of one k; `dollars` is None if its price is not known."""

    role: str
    model: str
    k: int
    usage: Usage
    dollars: float | None

    def text(self) -> str:
        tokens = f"{_number(self.usage.prompt)} tokens in, {_number(self.usage.completion)} out"
        price = "the price is not known" if self.dollars is None else f"${self.dollars:,.2f}"
        return f"  {self.role} {self.model}, k = {self.k}: {tokens}: {price}"


@dataclass(frozen=True)
class Part:
    """A step and its cost.

    `gpu_hours` is None where the model's size is not known.
    """

    name: str
    work: str
    calls: tuple[Calls, ...]
    gpu_hours: float | None

    @property
    def usage(self) -> Usage:
        return sum((one.usage for one in self.calls), Usage())

    @property
    def dollars(self) -> float | None:
        """The cost of all calls; None if a price is unknown."""
        return sum_known(one.dollars for one in self.calls)

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"usage": asdict(self.usage), "dollars": self.dollars}

    def text(self) -> str:
        hours = "" if self.gpu_hours == 0 else f"; {_hours(self.gpu_hours)}"
        return "\n".join([f"{self.name}: {self.work}{hours}.", *(one.text() for one in self.calls)])


@dataclass(frozen=True)
class Estimate:
    """All parts, the models without a known price, and the assumptions that were used."""

    parts: list[Part]
    unpriced: list[ModelSpec]
    assumptions: dict[str, Any]

    @property
    def dollars(self) -> float:
        """The cost of the calls with a known price."""
        return sum(one.dollars or 0 for part in self.parts for one in part.calls)

    @property
    def gpu_hours(self) -> float | None:
        """Hours of a GPU; None if a model's size is not known."""
        return sum_known(part.gpu_hours for part in self.parts)

    def record(self) -> dict[str, Any]:
        """The estimate as JSON; `dollars` leaves out the models in `unpriced`."""
        return {
            "parts": [part.record() for part in self.parts],
            "dollars": self.dollars,
            "unpriced": [spec.model for spec in self.unpriced],
            "gpu_hours": self.gpu_hours,
            "assumptions": self.assumptions,
        }

    def text(self) -> str:
        without = ", ".join(f"the {spec.role} {spec.model}" for spec in self.unpriced)
        total = f"In all: ${self.dollars:,.2f}" + (f" without {without}" if without else "")
        if without and not self.dollars:
            total = f"In all: not known without the price of {without}"
        known = self.assumptions
        hours = f"; {_hours(self.gpu_hours)} (one {known['gpu']})" if "gpu" in known else ""
        if hours and self.gpu_hours is not None and self.gpu_hours < 0.1:  # as a recipe for a CPU has
            hours += ", and thousands of times as long on a CPU"
        return "\n".join(
            [
                *(part.text() for part in self.parts),
                f"{total}{hours}.",
                *self._how_to_price(),
                "Assumed:",
                *(f"  {one}" for one in self._assumed()),
            ]
        )

    def _how_to_price(self) -> list[str]:
        if not self.unpriced:
            return []
        models = dict.fromkeys((spec.provider, spec.model) for spec in self.unpriced)  # one may have two roles
        rows = [
            f"  - {{provider: {provider}, model: {json.dumps(model)}, input: DOLLARS, output: DOLLARS}}"
            for provider, model in models
        ]
        return [
            "To add what is missing, write the prices per million tokens (0 on your own hardware) into a file and "
            f"name it with {PRICES_VARIABLE}:",
            "  prices:",
            *rows,
        ]

    def _assumed(self) -> list[str]:
        known = self.assumptions
        said = [
            f"{known['reply_tokens']} tokens in a reply, {known['answer_tokens']} of them in the answer",
            f"{COMPLETION_PER_CRITERION:g} tokens of a vote for each criterion, more than most judges need",
            "one prompt for all votes on an answer",
        ]
        if accepted := known.get("acceptance"):
            shares = ", ".join(f"{share:.0%} with k = {k}" for k, share in accepted.items())
            said.append(f"accepted {shares} ({known['acceptance_source']})")
        if "gpu" in known:
            rates = [
                f"in training {rate:,} ({method}; {known['train_source']})"
                for method, rate in known["train_tokens_per_second"].items()
            ]
            rates.append(f"in generating {known['generate_tokens_per_second']:,} ({known['generate_source']})")
            sizes = {model: size for model, size in known["sizes"].items() if size is not None}
            said += [f"{model} has {size:.2g} billion parameters" for model, size in sizes.items()]
            said.append(
                f"tokens a second of a model of {known['billions']:g} billion parameters, others in proportion: "
                f"{', '.join(rates)}"
            )
        return said


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
    """The estimate of `skillmix generate` on a pack, `train` and `compare`.

    `pack_name` is a bundled pack or a directory. Empty `tasks` mean the recipe's, each with `items`
    items; a task of another bundled pack is estimated on that one. Without a recipe the texts alone are
    estimated. Raises UserError for an unknown task.
    """
    pack = load_pack(pack_name)
    check_cells(pack, plan)
    kinds = sampled_cells(pack, plan)
    parts = [texts_part("Texts", pack, kinds, teacher, judges)]
    # The rows of a training are weighted by it, and otherwise it says how many tries texts take.
    weighted = [kind.k for kind in kinds if recipe is not None or kind.accept is not None]
    sizes: dict[str, float | None] = {}
    if recipe is not None:
        billions = sizes[recipe.model] = _known()["billions_of_parameters"].get(recipe.model)
        parts.append(training_part("Training", pack, kinds, recipe, billions))
        names = _names(tasks or recipe.eval_tasks)
        number = items * GENERATIONS * _MODELS
        answers = len(names) * number
        work = f"{many(answers, 'answer')} to {many(len(names), 'task')}, before and after"
        calls = judging(pack, judges, names, number)
        parts.append(Part("Evaluation", work, calls, answering_hours(answers, billions)))
    elif tasks:
        raise UserError("--tasks are answered by a trained model: name its recipe, too (`skillmix recipes`).")
    return Estimate(parts, unpriced((teacher, *judges)), assumptions(weighted, [recipe] if recipe else [], sizes))


def estimate_judging(judges: Sequence[JudgeSpec], *, pack_name: str, tasks: Sequence[str], items: int) -> Estimate:
    """The estimate of judging one student's answers to `items` items of each task, without the student's own cost.

    Raises UserError for an unknown task.
    """
    names, number = _names(tasks), items * GENERATIONS
    work = f"{many(len(names) * number, 'answer')} to {many(len(names), 'task')}, the student's own cost left out"
    part = Part("Judging", work, judging(load_pack(pack_name), judges, names, number), 0.0)
    return Estimate([part], unpriced(judges), assumptions([], [], {}))


def unpriced(specs: Sequence[ModelSpec]) -> list[ModelSpec]:
    """The models whose price is not known."""
    return [spec for spec in specs if spec.dollars(Usage()) is None]


def assumptions(ks: Iterable[int], recipes: Sequence[Recipe], sizes: Mapping[str, float | None]) -> dict[str, Any]:
    """The assumptions of an estimate that weights texts of `ks` by their acceptance, and trains by `recipes`.

    `sizes` are billions of parameters by model; None is unknown.
    """
    used: dict[str, Any] = {"reply_tokens": _REPLY, "answer_tokens": _known()["answer_tokens"]}
    if shares := {k: _acceptance(k) for k in ks}:
        used |= {"acceptance": shares, "acceptance_source": _known()["acceptance_source"]}
    if recipes:
        used |= {name: _known()[name] for name in _OF_GPU} | {"sizes": dict(sizes)}
        rates = _known()["train_tokens_per_second"]
        used["train_tokens_per_second"] = {recipe.method: rates[recipe.method] for recipe in recipes}
    return used


def sampled_cells(pack: Pack, plan: Plan) -> dict[Kind, list[Item]]:
    """The first cells of each kind of a plan, as a sample of all; the pack's number of cells bounds its tries."""
    excluded = evaluation_cells(pack, plan.ks)
    sampled = {}
    for kind in plan.kinds:
        left = number_of_cells(pack, kind, excluded)
        few = kind.model_copy(update={"tries": min(kind.tries or left, left)})
        sampled[few] = list(islice(cells(pack, kind, plan, 0, excluded), _LOOKED_AT))
    return sampled


def texts_part(
    name: str, pack: Pack, kinds: dict[Kind, list[Item]], teacher: TeacherSpec, judges: Sequence[JudgeSpec]
) -> Part:
    """The estimate of making texts of these kinds."""
    used: _Used = {}
    for kind, items in kinds.items():
        share = _tries(kind) / len(items)
        used[0, kind.k] = _sum(_first_turn(pack, item) + _second_turn(pack, item) for item in items).times(share)
        for place, judge in enumerate(judges, start=1):
            used[place, kind.k] = _sum(_votes(pack, item, judge) for item in items).times(share)
    tries = " + ".join(f"{_tries(kind):,}" for kind in kinds)
    ks = ", ".join(str(kind.k) for kind in kinds)
    work = f"{sum(map(_tries, kinds)):,} tries with k = {ks}" + (f" ({tries})" if len(kinds) > 1 else "")
    for kind in kinds:
        if (found := round(_tries(kind) * _acceptance(kind.k))) < (kind.accept or 0):
            work += f"; with k = {kind.k} the pack gives about {found:,} of {kind.accept:,} texts"
    return Part(name, work, _calls((teacher, *judges), used), 0.0)


def training_part(
    name: str, pack: Pack, kinds: dict[Kind, list[Item]], recipe: Recipe, billions: float | None, times: int = 1
) -> Part:
    """The estimate of training a model of so many parameters on accepted texts of these kinds, `times` times."""
    accepted = {kind: _tries(kind) * _acceptance(kind.k) for kind in kinds}
    tokens = sum(
        accepted[kind] / len(items) * (second.prompt + second.completion)
        for kind, items in kinds.items()
        for second in (_second_turn(pack, item) for item in items)
    )
    row = tokens / sum(accepted.values())
    rows = recipe.global_batch * recipe.steps if recipe.steps else (recipe.epochs or 1) * sum(accepted.values())
    rate = _known()["train_tokens_per_second"][recipe.method]
    texts = sum(accepted.values())
    seen = f"each text {rows / texts:,.1f} times" if rows > texts else "each text at most once"
    steps = f"{recipe.steps:,} steps on about {texts:,.0f} texts, {seen}"
    about = f"{recipe.method}, {recipe.model}" + (f"; {steps}" if recipe.steps else "")
    work = f"{times * rows:,.0f} rows of about {row:,.0f} tokens ({about})"
    return Part(name, work, (), _gpu_hours(times * rows * row / rate, billions))


def judging(pack: Pack, judges: Sequence[JudgeSpec], names: Sequence[str], number: int) -> tuple[Calls, ...]:
    """The calls that judge `number` answers to each of the tasks `names`."""
    specs = bundled_tasks()
    used: _Used = {}
    for name in names:
        k = specs[name].k
        asked = pack if pack.about.id not in bundled_packs() else load_pack(specs[name].pack)
        drawn = specs[name].draw(asked, name, _LOOKED_AT)
        for place, judge in enumerate(judges):
            one = _sum(_votes(asked, item, judge) for item in drawn).times(number / len(drawn))
            used[place, k] = used.get((place, k), Usage()) + one
    return _calls(judges, used)


def answering_hours(answers: int, billions: float | None) -> float | None:
    """GPU hours of a model of so many parameters for two replies to each of `answers`."""
    return _gpu_hours(answers * 2 * _REPLY / _known()["generate_tokens_per_second"], billions)


def _names(tasks: Sequence[str]) -> list[str]:
    return list(dict.fromkeys(name for task in tasks for name in tasks_named(task)))


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
    """Its prompt holds the complete first turn."""
    first = _first_turn(pack, item)
    return Usage(first.prompt + first.completion + _tokens(render(pack, "turn2", item)), _REPLY)


def _votes(pack: Pack, item: Item, judge: JudgeSpec) -> Usage:
    """All votes of a judge on one answer."""
    request = grading_request(pack, item, " " * round(_known()["answer_tokens"] * BYTES_PER_TOKEN))
    completion = COMPLETION_PER_CRITERION * len(request.criteria) * judge.votes
    return Usage(sum(_tokens(message["content"]) for message in build_messages(request)), round(completion))


def _tokens(text: str) -> int:
    return round(len(text.encode()) / BYTES_PER_TOKEN)


def _sum(usages: Iterable[Usage]) -> Usage:
    return sum(usages, Usage())


def _calls(specs: Sequence[ModelSpec], used: _Used) -> tuple[Calls, ...]:
    return tuple(
        Calls(specs[place].role, specs[place].model, k, usage, specs[place].dollars(usage))
        for (place, k), usage in sorted(used.items())
    )


def _gpu_hours(seconds: float, billions: float | None) -> float | None:
    """Hours for a model for which `seconds` would do if it had the size that the rates are for."""
    return None if billions is None else seconds * billions / _known()["billions"] / 3600


def _hours(hours: float | None) -> str:
    if hours is None:
        return "GPU hours are not known"
    return f"{hours:,.1f} GPU hours" if hours >= 0.1 else "less than 0.1 GPU hours"


def _number(tokens: int) -> str:
    return f"{tokens / 1e6:,.2f} million" if tokens >= 1e6 else f"{tokens:,}"


@cache
def _known() -> dict[str, Any]:
    known: dict[str, Any] = own_yaml("training", "estimate.yaml")
    return known
