"""Plans of training data: how many texts of which k, over which skills and topics, in which seeded order.

    draw: random
    kinds:
      - {k: 1, skills: all, topics: train, tries: 5000}
      - {k: 2, skills: train, topics: train, accept: 4000}

A plan is data (training/texts/plans, or your own YAML file). `cells` yields the items of a plan. A kind's stream
does not depend on the plan's name or numbers, so plans share replies in the store.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import islice
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from grading import UserError
from grading.errors import first_fault
from grading.safety.bounds import own_names, own_yaml, user_yaml
from skillmix_tasks.cells import Cell, cells_left, evaluation_cells
from skillmix_tasks.items.draw import Item, draw_items, make_item
from skillmix_tasks.items.pack import Pack
from training.texts.balanced import balanced_cells

Draw = Literal["random", "balanced"]
_MOST = 10**9  # texts, tries, and times as many of either


class Kind(BaseModel, extra="forbid", frozen=True):
    """Texts of one k.

    It ends when `accept` texts have been accepted or `tries` cells have been tried, whichever is first; None means
    no such end. `skills` and `topics` name splits of the pack.
    """

    k: int = Field(ge=1)
    skills: Literal["all", "train"]
    topics: Literal["train"] = "train"
    accept: int | None = Field(default=None, ge=1, le=_MOST)
    tries: int | None = Field(default=None, ge=1, le=_MOST)

    @model_validator(mode="after")
    def _ends(self) -> Kind:
        if self.accept is None and self.tries is None:
            raise ValueError("a kind needs an end: `accept`, `tries`, or both")
        return self


class Plan(BaseModel, extra="forbid", frozen=True):
    """A plan: its kinds, one for each k, and how their cells are drawn."""

    draw: Draw = "random"
    kinds: tuple[Kind, ...] = Field(min_length=1, max_length=20)

    @model_validator(mode="after")
    def _one_of_each(self) -> Plan:
        if len(set(self.ks)) < len(self.kinds):
            raise ValueError("each k may stand once")
        return self

    @property
    def ks(self) -> tuple[int, ...]:
        return tuple(kind.k for kind in self.kinds)


def plan_names() -> list[str]:
    """The plans that come with this package."""
    return own_names("training.texts", "plans")


def load_plan(name: str) -> Plan:
    """The plan `name` (one of this package, or a YAML file); UserError if it is missing or invalid."""
    if name in plan_names():
        return Plan.model_validate(own_yaml("training.texts", "plans", f"{name}.yaml"))
    names = ", ".join(plan_names())
    choice = f"choose {names}, name a YAML file, or leave it out and give --k and --accept"
    fields = user_yaml(Path(name), "plan", choice)
    try:
        return Plan.model_validate(fields)
    except ValidationError as error:
        raise UserError(
            f"The plan {name} is wrong at {first_fault(error)}: a plan has lines such as `draw: random` and "
            "`kinds: [{k: 2, skills: train, topics: train, accept: 4000}]`."
        ) from error


def own_plan(ks: Sequence[int], accept: int) -> Plan:
    """Accept `accept` texts of each k: k = 1 over all skills as in the paper, others over the train skills."""
    try:
        return Plan(kinds=tuple(Kind(k=k, skills="all" if k == 1 else "train", accept=accept) for k in ks))
    except ValidationError as error:
        raise UserError(
            "Name each k once, from 1, and a number of texts to accept of each, from 1; for example "
            f"--k 1,2,3 --accept 4000. These are k = {', '.join(map(str, ks)) or 'none'} and {accept} texts."
        ) from error


def choose_plan(name: str | None, ks: Sequence[int], accept: int | None, scale: float) -> Plan:
    """The plan of a command: one by its name, or `accept` texts of each of `ks`.

    Raises UserError unless it is just one of the two.
    """
    if name is None and not ks and accept is None:
        raise UserError("Say what to make: --plan NAME, or --k 1,2,3 --accept 4000.")
    if name is not None and (ks or accept is not None):
        raise UserError(f"--plan {name} says how many texts of each k: leave --k and --accept out, or --plan.")
    if name is not None:
        return scaled(load_plan(name), scale)
    if not ks or accept is None:
        raise UserError("--k and --accept go together: --k 1,2,3 --accept 4000 accepts 4,000 texts of each k.")
    return scaled(own_plan(ks, accept), scale)


def scaled(plan: Plan, factor: float) -> Plan:
    """The plan with all its numbers times `factor`, rounded, and at least 1."""
    if not 0 < factor <= _MOST:
        raise UserError(
            f"A plan cannot be scaled by {factor}: give a number above 0, up to {_MOST:,}, such as 0.1."
        )

    def times(number: int | None) -> int | None:
        return None if number is None else max(1, round(number * factor))

    kinds = (
        kind.model_copy(update={"accept": times(kind.accept), "tries": times(kind.tries)}) for kind in plan.kinds
    )
    return plan.model_copy(update={"kinds": tuple(kinds)})


def number_of_cells(pack: Pack, kind: Kind, excluded: AbstractSet[Cell]) -> int:
    """How many different items `kind` has on `pack`: the most that `cells` can yield."""
    return cells_left(pack, kind.k, skills=kind.skills, excluded=excluded)


def check_cells(pack: Pack, plan: Plan, seed: int = 0) -> None:
    """Raise UserError if the pack has too few cells for the plan."""
    excluded = evaluation_cells(pack, plan.ks)
    for kind in plan.kinds:
        cells(pack, kind, plan, seed, excluded)  # raises if the pack lacks skills or topics
        there, left = (number_of_cells(pack, kind, some) for some in (frozenset(), excluded))
        wanted = kind.accept or 1
        if left < wanted:
            split = "" if kind.skills == "all" else "train "
            raise UserError(
                f"The pack {pack.about.id!r} gives {left:,} texts with k = {kind.k}, and {wanted:,} are "
                f"wanted: it has {there:,} combinations of {split}skills and a train topic, of which the items of "
                f"the tasks hold back {there - left:,}. Add skills or topics, or make fewer texts (`skillmix pack "
                "check` prints the numbers)."
            )


def cells(pack: Pack, kind: Kind, plan: Plan, seed: int, excluded: AbstractSet[Cell]) -> Iterator[Item]:
    """Different items for `kind`, a kind of `plan`, without those whose cell is in `excluded`, until none is left.

    The same pack, k, skills, draw, seed and exclusions give the same items on every machine; an item's split is
    that of its skills. A balanced stream ends earlier, where the rest cannot be even. Raises UserError if the
    pack has too few skills, or no train topic.
    """
    skills = {skill.id: skill for skill in pack.skills_of(kind.skills)}
    topics = {topic.id: topic for topic in pack.topics_of(kind.topics)}
    if kind.k > len(skills):
        raise UserError(
            f"The pack {pack.about.id!r} has {len(skills)} {kind.skills} skills, too few for texts with "
            f"{kind.k}: choose a smaller k."
        )
    if not topics:
        raise UserError(f"The pack {pack.about.id!r} has no train topic: mark topics with `split: train`.")
    if not pack.combinations(skills, kind.k):
        raise UserError(
            f"No {kind.k} {kind.skills} skills of the pack {pack.about.id!r} go together: choose a smaller k, or "
            "shorten `exclusive` in pack.yaml."
        )
    name = f"training-{kind.skills}-k{kind.k}"
    if plan.draw == "random":
        drawn = draw_items(
            pack,
            name=name,
            k=kind.k,
            split=kind.skills,
            seed=seed,
            skills=skills,
            topics=topics,
            allowed=lambda chosen, topic: (frozenset(chosen), topic) not in excluded,
        )
        return islice(drawn, number_of_cells(pack, kind, excluded))
    even = balanced_cells(
        f"{pack.about.id}|{name}|{seed}|balanced",
        k=kind.k,
        skills=tuple(skills.values()),
        topics=tuple(topics),
        excluded=excluded,
        compatible=pack.compatible,
    )
    return (
        make_item(pack, kind.skills, [skills[skill] for skill in chosen], topics[topic]) for chosen, topic in even
    )
