"""Results that others published (published.yaml), to be shown beside new ones, always with their source."""

from __future__ import annotations

import datetime
from functools import cache
from typing import Literal

from pydantic import BaseModel, Field

from grading.safety.bounds import own_yaml


class PublishedSource(BaseModel, extra="forbid", frozen=True):
    """The source of figures: the paper, its arXiv id, the page with the figures, and the page's date."""

    paper: str
    arxiv: str
    page: str
    date: datetime.date


class PublishedRow(BaseModel, extra="forbid", frozen=True):
    """One student's scores at one k, as shares from 0 to 1; None if the source does not state it.

    `training` is None or the name of a training set, such as D(1,2,3) in the second paper. `names_deducted`: a
    skill that the text names earns no point. `common_dropped`: items with a very common skill were left out.
    `items` is their number.
    """

    source: PublishedSource
    student: str
    training: str = Field(min_length=1)
    judge: str
    names_deducted: bool
    common_dropped: bool
    split: Literal["all", "train", "heldout"] | None
    k: int = Field(ge=1)
    items: int | None = Field(default=None, ge=1)
    full_marks: float = Field(ge=0, le=1)
    all_skills: float | None = Field(default=None, ge=0, le=1)
    skill_fraction: float | None = Field(default=None, ge=0, le=1)


@cache
def load_published() -> tuple[PublishedRow, ...]:
    """All published rows, in the order of the file."""
    tables = own_yaml("training", "published.yaml")
    rows = []
    for table in tables:
        columns, values = table.pop("columns"), table.pop("rows")
        rows += [PublishedRow.model_validate(table | dict(zip(columns, row, strict=True))) for row in values]
    return tuple(rows)
