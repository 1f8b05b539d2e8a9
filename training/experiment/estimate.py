"""What an experiment takes: dollars and GPU hours of each step, and the memory of each training."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from transformers import PreTrainedConfig

from grading import UserError
from grading.commands.words import many
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.scoring.metrics import GENERATIONS
from training.estimate import (
    Estimate,
    Part,
    answering_hours,
    assumptions,
    judging,
    sampled_cells,
    texts_part,
    training_part,
    unpriced,
)
from training.experiment.spec import Experiment
from training.memory import CONTEXT, Memory, model_config, training_memory
from training.texts.plan import Kind, own_plan
from training.tune.recipe import Lora, Recipe

_PROCESS = 1.0e9  # bytes of a process that has imported all that a training needs
_GPUS = (2, 4, 8)  # numbers that are suggested


@dataclass(frozen=True)
class Fit:
    """The memory of a model's training on each of `gpus` GPUs, or without one on the machine, against its limit.

    `limit` is None where the experiment names no GPU. `fitting` are changes that would fit, if it does not.
    """

    model: str
    gpus: int
    memory: Memory
    limit: float | None
    fitting: tuple[str, ...] = ()

    @property
    def fits(self) -> bool:
        return self.limit is None or self.memory.peak <= self.limit

    def text(self) -> str:
        held = self.memory
        where = f"each of {self.gpus} GPUs" if self.gpus > 1 else "one GPU" if self.gpus else "the machine"
        parts = (
            f"weights {_gb(held.weights)}, gradients {_gb(held.gradients)}, optimizer {_gb(held.optimizer)}, "
            f"activations {_gb(held.activations)}"
        )
        limit = "" if self.limit is None else f", of {_gb(self.limit)} that are free for it"
        return f"Memory of training {self.model} on {where}: {_gb(held.peak)} ({parts}){limit}."


@dataclass(frozen=True)
class ExperimentEstimate:
    """What all steps take, the memory of each model's training, and the budget that they have to stay in."""

    steps: Estimate
    fits: list[Fit]
    budget: float | None

    def record(self) -> dict[str, Any]:
        memory = {
            fit.model: {
                **fit.memory.record(),
                "gpus": fit.gpus,
                "limit": fit.limit,
                "fits": fit.fits,
                "would_fit": list(fit.fitting),
            }
            for fit in self.fits
        }
        return self.steps.record() | {"budget": self.budget, "memory": memory}

    def text(self) -> str:
        budget = [] if self.budget is None else [f"The budget is ${self.budget:,.2f}."]
        return "\n".join([self.steps.text(), *budget, *(fit.text() for fit in self.fits)])

    def check(self) -> None:
        """Raise UserError, in one sentence, if a training does not fit its memory, or all of it the budget."""
        for fit in self.fits:
            if fit.fits:
                continue
            assert fit.limit is not None
            device = f"each of its {fit.gpus} GPUs" if fit.gpus > 1 else "its GPU" if fit.gpus else "the machine"
            advice = " or ".join(fit.fitting) or "take a smaller model, as none of the usual changes fits"
            raise UserError(
                f"The training of {fit.model} needs {_gb(fit.memory.peak)} of {device}, where "
                f"{_gb(fit.limit)} are free for it: {advice}."
            )
        if self.budget is not None and self.steps.dollars > self.budget:
            raise UserError(
                f"The experiment is estimated at ${self.steps.dollars:,.2f}, more than its budget of "
                f"${self.budget:,.2f}: raise `budget`, or take fewer texts (`scale`), items or judges."
            )


def estimate_experiment(experiment: Experiment) -> ExperimentEstimate:
    """What `experiment` takes; UserError if a model's configuration cannot be had."""
    fits: list[Fit] = []
    billions: dict[str, float] = {}
    for name in experiment.models:
        fits.append(_fit(experiment, name))
        billions[name] = fits[-1].memory.parameters / 1e9
    ks = sorted({k for name in experiment.texts for k in experiment.plan(name).ks})
    steps = Estimate(
        list(_parts(experiment, billions)),
        unpriced([experiment.teacher_spec(), *experiment.judge_specs().values()]),
        assumptions(ks, [experiment.recipe(name) for name in experiment.models], billions),
    )
    return ExperimentEstimate(steps, fits, experiment.budget)


def _parts(experiment: Experiment, billions: dict[str, float]) -> Iterator[Part]:
    pack = load_pack(experiment.pack)
    judges = experiment.judge_specs()
    first = next(iter(judges.values()))
    teacher = experiment.teacher_spec()
    kinds = {name: sampled_cells(pack, experiment.plan(name)) for name in experiment.texts}
    for name in experiment.texts:
        yield texts_part(f"Texts {name}", pack, kinds[name], teacher, [first])
    for model in experiment.models:
        for arm in experiment.arms:
            own = _kinds_of(experiment, arm, kinds, pack)
            yield training_part(
                f"Training {model} on {arm}",
                pack,
                own,
                experiment.recipe(model),
                billions[model],
                len(experiment.seeds),
            )
    tasks = [*experiment.tasks, *experiment.drop_common_tasks]  # some are measured twice
    students = 1 + len(experiment.arms) * len(experiment.seeds)
    number = students * experiment.read_settings().items * GENERATIONS
    answers = number * len(tasks)
    of = f"{many(students, 'model')} to {many(len(tasks), 'task')}"
    for model in experiment.models:
        hours = answering_hours(answers, billions[model])
        yield Part(f"Answers of {model}", f"{answers:,} answers of {of}", (), hours)
    models = len(experiment.models)
    for name, judge in judges.items():
        calls = judging(pack, [judge], tasks, models * number)
        yield Part(f"Judging by {name}", many(models * answers, "answer"), calls, 0.0)


def _kinds_of(
    experiment: Experiment, arm: str, kinds: dict[str, dict[Kind, list[Item]]], pack: Pack
) -> dict[Kind, list[Item]]:
    """The kinds of text that an arm trains on; of data that is not made here, the first kinds that there are."""
    own: dict[Kind, list[Item]] = {}
    for one in experiment.arms[arm]:
        for made in [kinds[one.texts]] if one.texts else list(kinds.values())[:1]:
            own |= {kind: items for kind, items in made.items() if one.ks is None or kind.k in one.ks}
    return own or sampled_cells(pack, own_plan([2], 1))


def _fit(experiment: Experiment, name: str) -> Fit:
    model, recipe = experiment.models[name], experiment.recipe(name)
    config = model_config(recipe)
    memory = training_memory(recipe, config, model.gpus)
    limit = None if experiment.gpu is None else experiment.gpu.memory_gb * 1e9 - CONTEXT
    if not model.gpus:
        limit = model.memory_gb * 1e9 - _PROCESS
    fit = Fit(name, model.gpus, memory, limit)
    if limit is None or fit.fits:
        return fit
    return replace(fit, fitting=tuple(_would_fit(recipe, config, model.gpus, limit)))


def _would_fit(recipe: Recipe, config: PreTrainedConfig, gpus: int, limit: float) -> Iterator[str]:
    """Changes of the recipe or the number of GPUs that would fit, each by itself."""

    def fits(changed: Recipe, number: int) -> bool:
        return training_memory(changed, config, number).peak <= limit

    for number in _GPUS:
        if number > gpus > 0 and fits(recipe, number):
            yield f"give it {number} GPUs (gpus: {number})"
            break
    less: Sequence[tuple[str, dict[str, Any]]] = (
        ("set activation_checkpointing: true", {"activation_checkpointing": True}),
        ("set micro_batch: 1", {"micro_batch": 1}),
        ("set optimizer: adamw_8bit", {"optimizer": "adamw_8bit"}),
        ("train an adapter (method: lora)", {"method": "lora", "lora": recipe.lora or Lora()}),
        ("train an adapter on 4-bit weights (four_bit: true)", {
            "method": "lora", "lora": recipe.lora or Lora(), "four_bit": True,
        }),
    )  # fmt: skip
    for words, fields in less:
        if not fields.items() <= dict(recipe).items() and fits(recipe.model_copy(update=fields), gpus):
            yield words


def _gb(size: float) -> str:
    return f"{size / 1e9:,.1f} GB"
