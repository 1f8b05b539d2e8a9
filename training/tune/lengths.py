"""The lengths of the rows, before anything is trained, and the rule for rows that are too long."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np
from datasets import Dataset

from grading import UserError
from grading.commands.words import many
from training.tune.encode import IGNORED, Encoded

OnTooLong = Literal["fail", "drop", "truncate"]
_PERCENTILES = (5, 50, 95, 99)


@dataclass(frozen=True)
class Lengths:
    """Tokens of a row: percentiles by their number, the longest, and how many rows exceed `limit`."""

    rows: int
    percentiles: dict[int, int]
    longest: int
    limit: int
    too_long: int

    @classmethod
    def of(cls, lengths: list[int], limit: int) -> Lengths:
        """The report on rows of `lengths` tokens."""
        points = np.percentile(lengths, _PERCENTILES, method="higher")
        return cls(
            rows=len(lengths),
            percentiles={share: int(point) for share, point in zip(_PERCENTILES, points, strict=True)},
            longest=max(lengths),
            limit=limit,
            too_long=sum(length > limit for length in lengths),
        )

    def record(self) -> dict[str, Any]:
        percentiles = {str(share): tokens for share, tokens in self.percentiles.items()}
        return {"rows": self.rows, "percentiles": percentiles, "longest": self.longest, "too_long": self.too_long}

    def text(self) -> str:
        points = ", ".join(f"{share} % {tokens:,}" for share, tokens in self.percentiles.items())
        return (
            f"{many(self.rows, 'row')}; tokens of a row: {points}, longest {self.longest:,}; {self.too_long:,} "
            f"over max_length {self.limit:,}."
        )


def check_policy(name: str) -> OnTooLong:
    """`name` as a rule for rows that are too long; UserError if it is not one."""
    if name not in get_args(OnTooLong):
        raise UserError(f"--on-too-long {name} is unknown: type one of {', '.join(get_args(OnTooLong))}.")
    return name  # type: ignore[return-value]


def check_lengths(splits: Sequence[Encoded], limit: int) -> None:
    """Raise UserError if a row of any of the splits is longer than `limit` tokens."""
    lengths = [length for encoded in splits for length in encoded.lengths]
    over = sum(length > limit for length in lengths)
    if over:
        included = ", those for validation included," if len(splits) > 1 else ""
        raise UserError(
            f"{over:,} of {len(lengths):,} rows{included} are longer than max_length {limit:,} (the longest has "
            f"{max(lengths):,} tokens) and would lose the end of an answer: type --set max_length={max(lengths)} "
            "to keep them complete, --on-too-long drop to leave them out, or --on-too-long truncate to cut them."
        )


def fit(encoded: Encoded, limit: int, policy: OnTooLong) -> tuple[Dataset, int]:
    """The rows as they are trained on, none longer than `limit` tokens, and how many were left out.

    Left out are rows that are too long ("drop"), or those that have no answer within the limit ("truncate").
    Raises UserError if there are rows that are too long ("fail").
    """
    over = [length > limit for length in encoded.lengths]
    if not any(over):
        return encoded.rows, 0
    if policy == "fail":
        check_lengths([encoded], limit)
    if policy == "drop":
        rows = encoded.rows.select([place for place, too_long in enumerate(over) if not too_long])
    else:
        rows = encoded.rows.map(
            lambda row: {"input_ids": row["input_ids"][:limit], "labels": row["labels"][:limit]}, desc="Cutting"
        )
        rows = rows.select(
            [place for place, labels in enumerate(rows["labels"]) if any(label != IGNORED for label in labels)]
        )
    return rows, len(encoded.rows) - len(rows)
