"""An experiment as data: who writes, who judges, which models are trained on which texts, and what is measured.

    teacher: {model: gpt-5.4-2026-03-05}
    judges: [gpt-5.4-2026-03-05]
    texts:
      paper: {plan: paper}
    models:
      Mistral-7B-Instruct-v0.2: {recipe: mistral-7b-instruct-paper, gpus: 2}
    arms:
      D(1): [{texts: paper, config: k1}]
      8000 of D(1,2,3): [{texts: paper, config: k1-2-3, count: 8000}]
    splits: [all, heldout]
    ks: [2, 3]
    budget: 400

`load_experiment` refuses what can be known to fail without reading a model; training/experiment/estimate.py
refuses what does not fit the budget or the memory.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError, ValidationInfo, model_validator

from grading import JudgeSpec, UserError, resolve_judge
from grading.cost.budget import require_price
from grading.errors import first_fault
from grading.models.spec import LOCAL_PREFIX
from grading.safety.bounds import user_yaml
from skillmix_tasks.commands.embedded import embedded_folder
from skillmix_tasks.harness.settings import Settings, read_settings
from skillmix_tasks.harness.task_files import bundled_tasks
from skillmix_tasks.items.pack import Split, bundled_packs
from training.experiment.measured import BASE
from training.texts.plan import Plan, load_plan, scaled
from training.texts.teacher import TeacherSpec, resolve_teacher
from training.tune.recipe import EMBEDDED, Recipe, load_recipe


def _beside(name: str, info: ValidationInfo) -> str:
    """The path of a file or folder that is beside the experiment's; any other name as it is."""
    path = (info.context or Path()) / name
    return str(path) if name and path.exists() else name


def _pack(name: str, info: ValidationInfo) -> str:
    return name if name in bundled_packs() else _beside(name, info)


_File = Annotated[str, AfterValidator(_beside)]
_Name = Annotated[str, Field(min_length=1, max_length=100)]
_Count = Annotated[int, Field(ge=1, le=10**9, strict=True)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Needs(_Part):
    """What a step takes of a machine: GPUs, hours, and gigabytes of the machine's own memory."""

    gpus: int = Field(default=0, ge=0, le=1024, strict=True)
    hours: float = Field(default=24, gt=0, le=10_000)
    memory_gb: float = Field(default=8, gt=0, le=100_000)


class Teacher(_Part):
    """The teacher, as the options of `skillmix generate` name it; the model `embedded` is the small one."""

    model: _Name
    args: str | None = None
    base_url: str | None = None
    temperature: float | None = None
    max_tokens: int | None = None
    stop: tuple[str, ...] = ()
    prefix: str | None = None


class Judge(_Part):
    """A judge; a text is its model's name, and an object gives it an address of its own."""

    model: _Name
    base_url: str | None = None

    @model_validator(mode="before")
    @classmethod
    def _named(cls, given: Any) -> Any:
        return {"model": given} if isinstance(given, str) else given


class Texts(Needs):
    """A set of texts, made once for all arms: a plan, and pre-training text that is mixed in."""

    plan: Annotated[_Name, AfterValidator(_beside)]
    scale: float = 1
    turns: Literal[1, 2] = 2
    seed: int = Field(default=0, strict=True)
    mix: _File | None = None
    mix_share: float = 0.1


class Model(Needs):
    """A base model, as its recipe names it; `set` changes fields of the recipe. The needs are the training's."""

    recipe: _File = ""
    set: dict[str, Any] = {}
    on_too_long: Literal["fail", "drop", "truncate"] = "drop"
    gpus: int = Field(default=1, ge=0, le=1024, strict=True)
    memory_gb: float = Field(default=64, gt=0, le=100_000)


class Data(_Part):
    """Rows that an arm trains on: a set of this experiment, or another data set (a folder, or ORG/NAME).

    `count` rows of the config are drawn by the seed of the training; None takes all.
    """

    texts: str | None = None
    data: _File | None = None
    config: str | None = None
    count: _Count | None = None

    @property
    def ks(self) -> set[int] | None:
        """The numbers of skills in a config such as k1-2; None if its name does not say so."""
        named = re.fullmatch(r"k(\d+(?:-\d+)*)", self.config or "")
        return {int(k) for k in named[1].split("-")} if named else None


class Answering(Needs):
    """How models answer: lm-eval's kind of model, its model_args beside the model's name, further arguments."""

    model: Literal["hf", "vllm"] = "hf"
    model_args: str = ""
    arguments: tuple[str, ...] = ("--batch_size", "32")
    gpus: int = Field(default=1, ge=0, le=1024, strict=True)
    memory_gb: float = Field(default=64, gt=0, le=100_000)


class Gpu(_Part):
    """The GPU that the machines have."""

    name: _Name
    memory_gb: float = Field(gt=0, le=100_000)


class Experiment(_Part):
    """All of an experiment; `settings` are the tasks' (skillmix_tasks.harness.settings).

    The first judge also judges the texts; every judge judges all answers. The tasks with `drop_common_ks` are
    measured once more without the very common skills. `budget` is in dollars, for texts and judging together.
    Without `conclusive` no claim gets a verdict: the run only proves the chain.
    """

    pack: Annotated[_Name, AfterValidator(_pack)] = "language"
    teacher: Teacher
    judges: tuple[Judge, ...] = Field(min_length=1, max_length=10)
    votes: int | None = Field(default=None, strict=True)
    texts: dict[_Name, Texts] = {}
    models: dict[_Name, Model] = Field(min_length=1, max_length=50)
    arms: dict[_Name, tuple[Data, ...]] = Field(min_length=1, max_length=50)
    splits: tuple[Split, ...] = Field(min_length=1)
    ks: tuple[Annotated[int, Field(strict=True)], ...] = Field(min_length=1)
    drop_common_ks: tuple[Annotated[int, Field(strict=True)], ...] = ()
    seeds: tuple[Annotated[int, Field(ge=0, strict=True)], ...] = Field(default=(0,), min_length=1)
    settings: dict[str, Any] = {}
    answering: Answering = Answering()
    judging: Needs = Needs()
    gpu: Gpu | None = None
    budget: float | None = Field(default=None, ge=0)
    conclusive: bool = True

    @cached_property
    def tasks(self) -> tuple[str, ...]:
        """The task of each split and k; UserError if one does not exist."""
        return self._tasks(self.ks)

    @cached_property
    def drop_common_tasks(self) -> tuple[str, ...]:
        """The tasks that are also measured without very common skills."""
        return self._tasks(self.drop_common_ks)

    def _tasks(self, ks: tuple[int, ...]) -> tuple[str, ...]:
        own = self.pack if self.pack in bundled_packs() else "language"
        found = {(spec.split, spec.k): name for name, spec in bundled_tasks().items() if spec.pack == own}
        wanted = [(split, k) for split in self.splits for k in ks]
        for split, k in wanted:
            if (split, k) not in found:
                raise UserError(f"there is no task of the split {split} with k = {k} for the pack {self.pack}")
        return tuple(found[one] for one in wanted)

    @cached_property
    def task_settings(self) -> dict[str, Any]:
        """The tasks' settings as they are given to lm-eval, without judge and cap."""
        return self.settings | ({} if self.pack in bundled_packs() else {"pack": self.pack})

    def read_settings(self) -> Settings:
        """The settings; UserError if they are not valid."""
        taken = {"judge", "judge_base_url", "votes", "max_usd", "max_tokens", "price"} & self.settings.keys()
        if taken:
            raise UserError(f"settings.{min(taken)} is not a setting of an experiment: use judges, votes, budget")
        return read_settings({"skillmix": self.task_settings})

    def judge_specs(self) -> dict[str, JudgeSpec]:
        """The judges by their names, in order: their model ids, or of local ones their folders' names."""
        specs = {}
        for judge in self.judges:
            spec = resolve_judge(named_model(judge.model), base_url=judge.base_url, votes=self.votes, options=True)
            specs[Path(spec.model).name if spec.kind == "transformers" else spec.model] = spec
        return specs

    def teacher_spec(self) -> TeacherSpec:
        fields = self.teacher.model_dump(exclude={"model", "args"})
        return resolve_teacher(named_model(self.teacher.model), lm_args=self.teacher.args, **fields)

    def plan(self, name: str) -> Plan:
        return scaled(load_plan(self.texts[name].plan), self.texts[name].scale)

    def changes(self, model: str, seed: int | None = None) -> list[str]:
        """What the experiment changes in a model's recipe, as `skillmix train --set` takes it."""
        fields = dict(self.models[model].set) | {"eval_tasks": list(self.tasks)}
        if seed is not None:
            fields["seed"] = seed
        return assigned(fields)

    def recipe(self, model: str) -> Recipe:
        """The recipe of a model, with the experiment's changes."""
        return load_recipe(self.models[model].recipe, self.changes(model))


def load_experiment(path: Path) -> Experiment:
    """The experiment in the YAML file `path`; names of files in it count from its folder.

    Raises UserError, in one sentence, for whatever can be known to fail by its text alone.
    """
    fields = user_yaml(path, "experiment")
    try:
        experiment = Experiment.model_validate(fields, context=path.resolve().parent)
        _check(experiment)
    except ValidationError as error:
        raise UserError(f"The experiment {path} is wrong at {first_fault(error)}.") from error
    except UserError as error:
        sentence = str(error).removesuffix(".")
        raise UserError(f"The experiment {path} is wrong: {sentence}.") from error
    return experiment


def _check(experiment: Experiment) -> None:
    for name, arm in experiment.arms.items():
        _check_arm(name, arm, experiment)
    used = {one.texts for arm in experiment.arms.values() for one in arm}
    for name in experiment.texts:
        if name not in used:
            raise UserError(f"no arm uses the texts {name}: leave them out, or name them in an arm")
    for names in (experiment.arms, experiment.models, experiment.texts):
        _check_names(names)
    for what in ("ks", "splits", "seeds", "drop_common_ks"):
        values = getattr(experiment, what)
        if len(set(values)) < len(values):
            raise UserError(f"{what} names {next(one for one in values if values.count(one) > 1)} twice")
    if BASE in experiment.arms:
        raise UserError(f"the arm {BASE} is always measured: leave it out of `arms`")
    _ = experiment.tasks, experiment.drop_common_tasks
    experiment.read_settings()
    for name in experiment.texts:
        experiment.plan(name)
    for name, model in experiment.models.items():
        if not model.recipe:
            raise UserError(
                f"the model {name} has no recipe: add `recipe: NAME` (`skillmix recipes` lists them) or a YAML "
                "file"
            )
        experiment.recipe(name)
    judges = list(experiment.judge_specs().values())
    if len(judges) < len(experiment.judges):
        raise UserError("two judges have the same model id: their results would be mixed")
    for spec in [*judges, experiment.teacher_spec()] if experiment.budget is not None else []:
        require_price(spec)


def _check_arm(name: str, arm: tuple[Data, ...], experiment: Experiment) -> None:
    if not arm or any(one.texts is None and one.data is None for one in arm):
        raise UserError(
            f"the arm {name} names no data: give it a list such as [{{texts: NAME, config: k1-2, count: 1000}}]"
        )
    for one in arm:
        if one.texts is None:
            continue
        if one.data is not None:
            raise UserError(f"the arm {name} names the texts {one.texts} and the data {one.data} in one entry")
        if one.texts not in experiment.texts:
            known = ", ".join(experiment.texts) or "none"
            raise UserError(f"the arm {name} names the texts {one.texts}, and `texts` has {known}")
        made = experiment.plan(one.texts).ks if one.ks else ()
        if one.ks and not one.ks <= set(made):
            raise UserError(
                f"the arm {name} takes the config {one.config} of the texts {one.texts}, whose plan makes "
                f"k = {', '.join(map(str, sorted(made)))}"
            )


def _check_names(names: Iterable[str]) -> None:
    """Names become folders: different ones must stay different."""
    seen: dict[str, str] = {}
    for name in names:
        short = slug(name)
        if not short or short in seen:
            raise UserError(
                f"the name {name!r} has no letter or digit"
                if not short
                else f"the names {seen[short]!r} and {name!r} give the same folder {short}: rename one"
            )
        seen[short] = name


def assigned(fields: Mapping[str, Any]) -> list[str]:
    """The values of `fields` as --set takes them."""
    return [f"{name}={json.dumps(value)}" for name, value in fields.items()]


def slug(name: str) -> str:
    """`name` as a folder: 8,000 of D(1,2,3) becomes 8-000-of-d-1-2-3, and + becomes plus."""
    return re.sub(r"[^a-z0-9.]+", "-", name.lower().replace("+", "plus")).strip("-.")


def named_model(model: str) -> str:
    """The model's name; of the small model `embedded`, where its directory is or will be."""
    return f"{LOCAL_PREFIX}{embedded_folder()}" if model == EMBEDDED else model
