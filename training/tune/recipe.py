"""Recipes of fine-tuning: which model, which part of the data, how long, how fast.

    model: mistralai/Mistral-7B-Instruct-v0.2
    method: full
    data_config: k1-2-3
    steps: 4000
    global_batch: 64

A recipe is data (training/tune/recipes, or your own YAML file). Its global batch holds on any number of
devices.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from grading import UserError
from grading.errors import first_fault
from grading.safety.bounds import load_yaml, own_names, own_yaml, user_yaml

EMBEDDED = "embedded"  # as a model's name: the small chat model of `skillmix quickstart`


class Lora(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The adapter: its rank, scale and dropout, and the linear layers that it changes ("all-linear", or names)."""

    r: int = Field(default=64, ge=1)
    alpha: int = Field(default=128, ge=1)
    dropout: float = Field(default=0.05, ge=0, lt=1)
    targets: str | tuple[str, ...] = "all-linear"


class Recipe(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """Everything that decides a training run, except its data.

    A batch element is a row, or with `packing` a bin of `max_length` tokens filled with complete rows.
    `micro_batch` is the number that one device takes at a time; how often before a step follows from
    `global_batch`. `dtype` is that of products and of a saved full fine-tune: weights that are trained are float32
    until then. With a validation split its loss is measured at every save.
    """

    model: str = Field(min_length=1)
    revision: str | None = None
    method: Literal["full", "lora"]
    lora: Lora | None = None
    four_bit: bool = False
    data_config: str | None = None  # None: the data set's default
    steps: int | None = Field(default=None, ge=1)
    epochs: float | None = Field(default=None, gt=0)
    global_batch: int = Field(ge=1)
    micro_batch: int = Field(ge=1)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=0, ge=0)
    schedule: Literal["constant", "linear", "cosine"] = "constant"
    optimizer: Literal["adamw_torch_fused", "adamw_torch", "adamw_8bit", "paged_adamw_8bit", "adafactor"] = (
        "adamw_torch_fused"
    )
    weight_decay: float = Field(default=0.0, ge=0)  # 0 makes AdamW the papers' Adam
    max_grad_norm: float = Field(default=1.0, ge=0)
    max_length: int = Field(default=1024, ge=8)
    dtype: Literal["bfloat16", "float32"] = "bfloat16"
    attention: str = "sdpa"
    packing: bool = False
    activation_checkpointing: bool = False
    compile: bool = False
    seed: int = Field(default=0, ge=0)
    save_steps: int = Field(default=500, ge=1)
    early_stopping: int | None = Field(default=None, ge=1)  # saves without a lower validation loss
    eval_tasks: tuple[str, ...] = ()
    leak_tasks: tuple[str, ...] | None = None  # None: eval_tasks
    report_to: tuple[str, ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> Recipe:
        if (self.steps is None) == (self.epochs is None):
            raise ValueError("it needs an end: either `steps` or `epochs`")
        if (self.lora is None) != (self.method == "full"):
            raise ValueError("`lora` belongs to the method lora, and to it alone")
        if self.four_bit and self.method == "full":
            raise ValueError("`four_bit` goes with the method lora only")
        return self

    @property
    def checked_tasks(self) -> tuple[str, ...]:
        """The tasks whose items the data must not hold."""
        return self.eval_tasks if self.leak_tasks is None else self.leak_tasks


def recipe_names() -> list[str]:
    """The recipes that come with this package."""
    return own_names("training.tune", "recipes")


def load_recipe(name: str, changes: Sequence[str] = ()) -> Recipe:
    """The recipe `name` (one of this package, or a YAML file) with `changes` such as "lora.r=8".

    Raises UserError that names the field if a field or a value is not one.
    """
    fields = _read(name)
    for change in changes:
        _set(fields, change)
    try:
        return Recipe.model_validate(fields)
    except ValidationError as error:
        raise UserError(f"The recipe {name} is wrong: {_first(error)}.") from error


def _read(name: str) -> dict[str, Any]:
    if name in recipe_names():
        fields = own_yaml("training.tune", "recipes", f"{name}.yaml")
    else:
        fields = user_yaml(Path(name), "recipe", f"choose {', '.join(recipe_names())}, or name a YAML file")
    if not isinstance(fields, dict):
        raise UserError(f"The recipe {name} holds no fields: it needs lines such as `steps: 4000`.")
    return fields


def _set(fields: dict[str, Any], change: str) -> None:
    name, equals, text = change.partition("=")
    *parents, last = name.split(".")
    if not equals or not last:
        raise UserError(f"--set {change} sets nothing: type --set FIELD=VALUE, such as --set steps=100.")
    try:
        value = load_yaml(text)
    except ValueError as error:
        raise UserError(f"--set {change} has a value that cannot be read ({error}).") from error
    for parent in parents:
        if fields.get(parent) is None:
            fields[parent] = {}
        fields = fields[parent]
        if not isinstance(fields, dict):
            raise UserError(f"--set {change} is wrong: {parent} has no fields of its own.")
    fields[last] = value


def _first(error: ValidationError) -> str:
    place, kind, reason = first_fault(error)
    if kind == "extra_forbidden":
        fields = Lora.model_fields if "." in place else Recipe.model_fields
        return f"there is no field {place}; the fields are {', '.join(fields)}"
    return f"{place} ({reason[0].lower()}{reason[1:]})" if place else reason
