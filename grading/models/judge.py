"""The judge as a pinned spec, and the judges that are known."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, ClassVar

from pydantic import Field, field_validator, model_validator

from grading.errors import UserError
from grading.models.price import Price
from grading.models.spec import LOCAL_PREFIX, ModelSpec, make_spec
from grading.protocol.prompt import PROMPT_VERSION
from grading.safety.bounds import own_yaml

MOST_VOTES = 999  # of a judge on an answer
_FILE = ("grading.models", "judges.yaml")


class JudgeSpec(ModelSpec):
    """Everything that identifies a judge, see ModelSpec.

    Votes are sampled, and vote number v sends the seed `seed + v` if its request has no other vote.
    """

    role: ClassVar[str] = "judge"
    product: ClassVar[str] = "vote"

    votes: int = Field(default=3, ge=1, le=MOST_VOTES, strict=True)

    @field_validator("votes")
    @classmethod
    def _odd(cls, votes: int) -> int:
        if votes % 2 == 0:
            raise ValueError(f"a majority needs an odd number of votes, not {votes}")
        return votes

    @model_validator(mode="after")
    def _sampled(self) -> JudgeSpec:
        if self.kind == "transformers" and self.temperature is None:
            raise ValueError("a judge in this process needs a temperature: without one all votes would be equal")
        return self

    def identity(self) -> dict[str, Any]:
        """The fields that a stored vote depends on, beside its messages and number; JSON-serialisable."""
        return super().identity() | {"prompt_version": PROMPT_VERSION}

    def record(self) -> dict[str, Any]:
        """The spec as results carry it: identity, votes and provenance, and no address."""
        return self.identity() | {
            "votes": self.votes,
            "reasoning_effort": self.reasoning_effort,
            "response_format": self.response_format,
            "shutdown": str(self.shutdown) if self.shutdown else None,
        }


Judge = str | Mapping[str, Any] | JudgeSpec
"""A judge's name, its fields, or its spec."""


@cache
def known_judges() -> dict[str, JudgeSpec]:
    """The judges of judges.yaml by name, without their prices."""
    return {name: JudgeSpec.model_validate(spec) for name, spec in own_yaml(*_FILE)["judges"].items()}


@cache
def default_judge() -> str:
    """The name of the judge that is used when none is named."""
    return str(own_yaml(*_FILE)["default"])


def resolve_judge(judge: Judge, *, options: bool = False, **overrides: Any) -> JudgeSpec:
    """The spec of a judge from its name in judges.yaml, a model id, `hf:DIRECTORY`, or its fields.

    `overrides` are further fields; those that are None leave the spec as it is. With `options` its messages name
    the options of a command, else the arguments of open_judge. A spec without a price gets the
    one of the price table (grading.models.price) for its provider and model.
    Raises UserError in one sentence for a field that no spec has or a value that it cannot take.
    """
    if isinstance(judge, str):
        if judge.startswith(LOCAL_PREFIX):
            fields: dict[str, Any] = {"kind": "transformers", "model": judge.removeprefix(LOCAL_PREFIX)}
        elif judge in known_judges():
            fields = known_judges()[judge].model_dump(exclude_unset=True)
        elif options and "," in judge:
            several = " ".join(f"--judge {one.strip()}" for one in judge.split(","))
            raise UserError(f"--judge takes one judge at a time: type {several} for a panel.")
        else:
            fields = {"model": judge}
    elif isinstance(judge, JudgeSpec):
        fields = judge.model_dump(exclude_unset=True) | {"keyless": judge.keyless}
    elif isinstance(judge, Mapping):
        fields = dict(judge)
    else:
        raise UserError(
            "A judge is named by a str, by a JudgeSpec or by the fields of one, and not by a value of the type "
            f"{type(judge).__name__}."
        )
    fields |= {name: value for name, value in overrides.items() if value is not None}
    return make_spec(JudgeSpec, fields, options=options)


def chosen_judges(
    judge: Judge | Sequence[Judge] | None,
    *,
    base_url: str | None = None,
    votes: int | None = None,
    price: Price | None = None,
    options: bool = False,
) -> tuple[JudgeSpec, ...]:
    """The judge or judges that are named, else the judge of the environment, else the default one.

    The other arguments are fields of each. Without a `base_url` a judge that is named by a str has its address
    from the environment.
    """
    chosen: Any = judge
    if judge is None or judge == "":
        chosen = os.environ.get(JudgeSpec.variable("MODEL")) or default_judge()
    address = base_url or os.environ.get(JudgeSpec.variable("BASE_URL")) or None
    return tuple(
        resolve_judge(
            one,
            base_url=address if isinstance(one, str) else base_url,
            votes=votes,
            price=price,
            options=options,
        )
        for one in (chosen if isinstance(chosen, list | tuple) else [chosen])
    )
