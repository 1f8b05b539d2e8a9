"""What pydantic finds wrong, in our words."""

from __future__ import annotations

import datetime
from typing import Annotated, Any, Literal

import pytest
from pydantic import AfterValidator, BaseModel, ConfigDict, Field, ValidationError

from grading.errors import first_fault
from skillmix_tasks.harness.settings import Settings
from skillmix_tasks.items.pack import About
from training.texts.plan import Plan


class Inner(BaseModel):
    model_config = ConfigDict(extra="forbid")
    k: int = Field(default=1, ge=1, le=8)
    skills: Literal["all", "train"] = "all"


def known(state: str) -> str:
    raise ValueError(f"there is no state {state}")


class Data(BaseModel):
    model_config = ConfigDict(extra="forbid")
    title: str = "A"
    share: float = Field(default=0.5, gt=0, lt=1, allow_inf_nan=False)
    day: datetime.date | None = None
    names: tuple[str, ...] = Field(default=("a",), min_length=1, max_length=2)
    kinds: list[Inner] = []
    counts: dict[Annotated[str, AfterValidator(known)], int] = {}
    judge: str | dict[str, Any] | list[str | dict[str, Any]] | None = None
    short: str = Field(default="a", min_length=1, max_length=3)


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"title": 1.0}, "title: text is expected, not 1.0: put it in quotes"),
        ({"title": True}, "title: text is expected, not true: put it in quotes"),
        ({"title": ["a"]}, "title: text is expected"),
        ({"share": "half"}, "share: a number is expected"),
        ({"share": 0}, "share: a number above 0.0 is expected, not 0"),
        ({"share": float("nan")}, "share: a finite number is expected, not nan"),
        ({"day": "soon"}, "day: a date such as 2027-01-31 is expected"),
        ({"names": []}, "names: the list is too short: 1 is the least"),
        ({"names": ["a", "b", "c"]}, "names: the list is too long: at most 2 are allowed"),
        ({"names": ["a", 2]}, "names, entry 2: text is expected, not 2: put it in quotes"),
        ({"kinds": [{}, {"k": 0}]}, "kinds, entry 2, k: 1 or more is expected, not 0"),
        ({"kinds": [{"k": 9}]}, "kinds, entry 1, k: 8 or less is expected, not 9"),
        ({"kinds": [{"skills": "most"}]}, "kinds, entry 1, skills: 'all' or 'train' is expected"),
        ({"kinds": {"k": 1}}, "kinds: a list is expected"),
        ({"judge": 5}, "judge: text or an object of names and values or a list is expected, not 5"),
        ({"judge": [5]}, "judge, entry 1: text or an object of names and values is expected, not 5"),
        ({"colour": "red"}, "colour: nothing reads a field of this name"),
        ({"counts": {"dreamt": 1}}, "counts.dreamt: there is no state dreamt"),
        ({"short": ""}, "short: the text is too short"),
        ({"short": "abcd"}, "short: the text is too long: at most 3 characters are allowed"),
        ([], "an object of names and values is expected"),
    ],
)
def test_a_fault_names_the_place_and_what_is_expected(given: Any, sentence: str):
    with pytest.raises(ValidationError) as raised:
        Data.model_validate(given)
    assert str(first_fault(raised.value)) == sentence


@pytest.mark.parametrize(
    ("model", "given"),
    [
        (Settings, {"judge": 5}),
        (Settings, {"votes": "three"}),
        (Settings, {"ungrounded": "zero"}),
        (Settings, {"items_from": {"path": "no id", "revision": "1"}}),
        (Settings, {"price": {"input": "dear"}}),
        (About, {"id": "My Pack", "title": "A", "version": "1", "license": "mit"}),
        (About, {"id": "my-pack", "title": "A", "version": 1.0, "license": "mit"}),
        (Plan, {"kinds": [{"k": 2}]}),
        (Plan, {"kinds": []}),
        (Plan, {"kinds": [{"k": "two", "skills": "all", "accept": 5}]}),
    ],
)
def test_no_fault_speaks_pydantic(model: type[BaseModel], given: dict[str, Any]):
    with pytest.raises(ValidationError) as raised:
        model.model_validate(given)
    words = str(first_fault(raised.value))
    for foreign in ("Input should", "String should", "Field required", "valid string", "pattern", "dict[", "int "):
        assert foreign not in words
