"""Prices of judges: a table in data (prices.yaml), which a user's file extends and overrides."""

from __future__ import annotations

import datetime
import os
from functools import cache
from pathlib import Path
from typing import Annotated, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from grading.errors import UserError, first_fault
from grading.safety.bounds import MOST_YAML, load_yaml, own_yaml, read_text
from grading.verdict import Usage

PRICES_VARIABLE = "SKILLMIX_PRICES"
_BUNDLED = ("grading.models", "prices.yaml")
# A million tokens for a million dollars: nothing costs more, and no sum of such prices is infinite.
_Dollars = Annotated[float, Field(ge=0, le=1e6, strict=True, allow_inf_nan=False)]


class Price(BaseModel):
    """Dollars per million tokens, with the day and the place where they were read.

    `cached_input`, for the part of a prompt that the provider read from its cache, is `input` where it is None.
    `batch` is the share of the price that a call in a batch costs; where it is None, the full price is counted.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    input: _Dollars
    cached_input: _Dollars | None = None
    output: _Dollars
    batch: float | None = Field(default=None, gt=0, le=1, strict=True)
    date: datetime.date | None = None
    source: str = "given by the user"

    @model_validator(mode="after")
    def _cached_is_no_dearer(self) -> Self:
        # Caps rest on it: what a prompt costs at most is its price without a cache.
        if self.cached_input is not None and self.cached_input > self.input:
            raise ValueError(f"cached_input = {self.cached_input:g} is above input = {self.input:g}")
        return self

    def dollars(self, usage: Usage) -> float:
        """The cost of `usage`, in dollars."""
        cached_input = self.input if self.cached_input is None else self.cached_input
        fresh = usage.prompt - usage.cached
        return (fresh * self.input + usage.cached * cached_input + usage.completion * self.output) / 1e6

    def for_provider(self, provider: str) -> Price:
        """This price, with the provider's known share for batches unless it has its own."""
        return self if self.batch else self.model_copy(update={"batch": _batch_shares().get(provider)})

    def in_batches(self) -> Price:
        """The price of a call in a batch.

        Cached tokens cost as much there as the rest of the prompt: not every model gets both discounts.
        """
        share = self.batch or 1.0
        return self.model_copy(
            update={
                "input": share * self.input,
                "cached_input": None,
                "output": share * self.output,
                "source": f"{self.source}; in batches {share:g} of it",
            }
        )


class _Row(Price):
    provider: str
    model: str

    @property
    def price(self) -> Price:
        return Price.model_validate(self.model_dump(exclude={"provider", "model"}))


class _File(BaseModel):
    prices: list[_Row]


PriceTable = dict[tuple[str, str], Price]


def price_table() -> PriceTable:
    """The prices by provider and model: those of prices.yaml under those of the file SKILLMIX_PRICES."""
    rows = _File.model_validate(own_yaml(*_BUNDLED)).prices
    own = os.environ.get(PRICES_VARIABLE)
    if own:
        rows += _own_rows(Path(own))
    return {(row.provider, row.model): row.price for row in rows}


@cache
def _batch_shares() -> dict[str, float]:
    rows = own_yaml(*_BUNDLED)["batches"]
    return {row["provider"]: row["share"] for row in rows}


def price_by_model(model: str, table: PriceTable) -> Price | None:
    """The price of a model whose provider is not known; None where no provider or several sell it."""
    found = [price for (_, name), price in table.items() if name == model]
    return found[0] if len(found) == 1 else None


def _own_rows(path: Path) -> list[_Row]:
    try:
        return _File.model_validate(load_yaml(read_text(path, MOST_YAML))).prices
    except (OSError, ValueError) as error:
        reason = first_fault(error) if isinstance(error, ValidationError) else str(error).splitlines()[0]
        raise UserError(
            f"The price file {path} ({PRICES_VARIABLE}) cannot be used ({reason}): it has a list "
            "`prices` of rows with provider, model, input and output, and where known cached_input, date, source."
        ) from error
