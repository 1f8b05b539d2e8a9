"""The settings of our tasks: one JSON object under the key "skillmix" of lm-eval's --metadata.

    --metadata '{"skillmix": {"judge": "gpt-4o-2024-11-20", "votes": 3}}'

Keys and tokens are never settings: they come from the environment.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from typing import Annotated, Any

from pydantic import BaseModel, Field, ValidationError

from grading import Budget, JudgeSpec, Panel, Price, UngroundedRule, UserError
from grading.cost.budget import require_price
from grading.endpoint.throttle import MOST_IN_FLIGHT
from grading.errors import first_fault
from grading.home import verdict_store
from grading.models.judge import chosen_judges
from grading.models.spec import MOST_SEED
from grading.panel import check_panel
from grading.safety.bounds import load_json
from skillmix_tasks.items.draw import MOST_ITEMS
from skillmix_tasks.items.hub import ItemsFrom

MOST_TOKENS = 512  # of a visible answer
PINNED = {"temperature": 0.7, "top_p": 1.0, "top_k": 0, "repetition_penalty": 1.0, "max_tokens": MOST_TOKENS}
"""How every student is sampled that has no sampling of its own; top_k 0 is off."""


class Sampling(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """A student's own sampling; fields that are None stay pinned."""

    temperature: float | None = Field(default=None, ge=0, le=2, strict=True)
    top_p: float | None = Field(default=None, gt=0, le=1, strict=True)
    top_k: int | None = Field(default=None, ge=-1, le=1_000_000, strict=True)
    min_p: float | None = Field(default=None, ge=0, le=1, strict=True)
    repetition_penalty: float | None = Field(default=None, gt=0, le=10, strict=True)
    presence_penalty: float | None = Field(default=None, ge=-2, le=2, strict=True)


class Settings(BaseModel, extra="forbid", frozen=True, allow_inf_nan=False):
    """The settings of one run.

    `judge` is a name in grading/models/judges.yaml, a model id of `judge_base_url`, `hf:DIRECTORY`, or the fields
    of a JudgeSpec, or a list of these, whose votes count alike; `votes` (odd) are votes per answer and judge.
    `items` are drawn per task with `seed`, which also seeds the three generations. `pack` is a bundled pack's
    name or a directory; None leaves the task's own. With `controls` the judge is first tested with the pack's
    control answers. A run fails if more than the share `max_missing` of its items gets no verdict.
    `concurrency` bounds the requests to the judge in flight; with `adaptive` there are fewer if the endpoint's
    limits require it. `drop_common` leaves out items that hold a very common skill. `ungrounded` decides how a
    point counts that the judge granted without true evidence: no verdict, or not earned. `max_usd`
    (dollars) and `max_tokens` (of prompts and completions together) cap the cost of judging all tasks of the
    run; `price`, in dollars per million tokens, overrides the price table. `batch` sends the judge's requests
    through the endpoint's Batch API: cheaper, and within a day. `reasoning_tokens` is the student's limit for
    reasoning, beside that of its visible answer; `reasoning_effort` goes to its endpoint unchanged; `sampling`
    replaces the pinned sampling, and marks the results.
    """

    judge: str | dict[str, Any] | Annotated[list[str | dict[str, Any]], Field(min_length=1)] | None = None
    judge_base_url: str | None = None
    votes: int | None = Field(default=None, strict=True)
    items: int = Field(default=100, ge=1, le=MOST_ITEMS, strict=True)
    seed: int = Field(default=0, ge=-MOST_SEED, le=MOST_SEED, strict=True)
    pack: str | None = None
    drop_common: bool = False
    ungrounded: UngroundedRule = "no_verdict"
    controls: bool = False
    max_missing: float = Field(default=0.1, ge=0, le=1, strict=True)
    concurrency: int = Field(default=32, ge=1, le=MOST_IN_FLIGHT, strict=True)
    adaptive: bool = True
    max_usd: float | None = Field(default=None, ge=0, strict=True)
    max_tokens: int | None = Field(default=None, ge=0, strict=True)
    price: Price | None = None
    batch: bool = False
    items_from: ItemsFrom | None = None
    reasoning_tokens: int = Field(default=0, ge=0, le=1_000_000, strict=True)
    reasoning_effort: str | None = Field(default=None, min_length=1, max_length=40)
    sampling: Sampling | None = None

    def judges(self) -> tuple[JudgeSpec, ...]:
        """The judge or judges of the settings, else the judge of the environment, else the default one.

        UserError if dollars are capped and a judge's price is not known.
        """
        if self.price is not None and isinstance(self.judge, list) and len(self.judge) > 1:
            raise UserError(
                "The setting `price` is of one judge: give each judge of the panel its own, as "
                '{"model": NAME, "price": {"input": DOLLARS, "output": DOLLARS}}.'
            )
        specs = chosen_judges(
            self.judge, base_url=self.judge_base_url, votes=self.votes, price=self.price, options=True
        )
        check_panel(specs)
        if self.max_usd is not None:
            for spec in specs:
                require_price(spec)
        return specs

    def budget(self, ranks: int) -> Budget:
        """A new budget for a run, in equal parts for its `ranks` processes, which cannot see each other."""
        return Budget(**self.part_of_caps(ranks))

    def part_of_caps(self, parts: int) -> dict[str, Any]:
        """The caps that are set, for each of `parts` processes or evaluations which share them."""
        caps = {} if self.max_usd is None else {"max_usd": self.max_usd / max(1, parts)}
        return caps | ({} if self.max_tokens is None else {"max_tokens": self.max_tokens // max(1, parts)})

    def open_panel(self, judges: Sequence[JudgeSpec], budget: Budget) -> Panel:
        """The judges with the verdict store, under `budget`; no model is loaded yet."""
        return Panel(
            judges,
            verdict_store(),
            concurrency=self.concurrency,
            adaptive=self.adaptive,
            budget=budget,
            ungrounded=self.ungrounded,
            batch=self.batch,
        )


def refuse_bare_settings(metadata: Mapping[str, Any]) -> None:
    """Raise UserError if --metadata, as typed, holds one of our settings outside the key "skillmix"."""
    bare = {key: value for key, value in metadata.items() if key in Settings.model_fields}
    if bare:
        raise UserError(
            f'--metadata has {", ".join(bare)} outside the key "skillmix", where nothing reads it: '
            f"type --metadata '{json.dumps({'skillmix': bare})}'."
        )


def read_settings(metadata: dict[str, Any]) -> Settings:
    """The settings in a task's metadata; UserError names an invalid key or value."""
    for key in metadata:
        if key != "skillmix" and (
            "skillmix" in key.lower() or get_close_matches(key.lower(), ["skillmix"], cutoff=0.8)
        ):
            raise UserError(
                f'--metadata has an unknown key {key!r}: the settings are under "skillmix", as in '
                '--metadata \'{"skillmix": {"judge": "NAME"}}\'.'
            )
    given = metadata.get("skillmix", {})
    if not isinstance(given, dict):
        raise UserError(
            'The setting "skillmix" is not a JSON object: type --metadata \'{"skillmix": {"judge": "NAME"}}\'.'
        )
    try:
        return Settings.model_validate(given)
    except ValidationError as error:
        fault = first_fault(error)
        if fault.kind == "extra_forbidden":
            raise UserError(
                f'There is no setting {fault.place!r} under "skillmix": there are '
                f"{', '.join(Settings.model_fields)}."
            ) from error
        raise UserError(f'The setting {fault.place!r} under "skillmix" is wrong: {fault.reason}.') from error


def given_settings(changes: Sequence[str] | None = None, **options: object) -> dict[str, Any]:
    """The settings that a command was given: its `options` that are set, then `changes`, each as `one_setting`.

    UserError if a change has another value than the option.
    """
    given = {name: value for name, value in options.items() if value is not None and value != []}
    for change in changes or ():
        name, value = one_setting(change)
        if name in given and given[name] not in (value, [value]):
            raise UserError(f"--{name.replace('_', '-')} and --set {change} differ: type one of them.")
        given[name] = value
    return given


def one_setting(text: str) -> tuple[str, Any]:
    """The key and value of an option --set, which reads KEY=JSON or KEY=TEXT."""
    key, separator, value = text.partition("=")
    if not separator:
        raise UserError(f"--set {text} is not KEY=VALUE.")
    try:
        return key, load_json(value)
    except ValueError:
        return key, value
