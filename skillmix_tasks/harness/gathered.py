"""The values that an evaluation of several ranks gathers beside its scores."""

from __future__ import annotations

from collections import Counter
from typing import Any, Self


class GatheredCoverage(float):
    """An item's coverage, with what else has to come from every rank: lm-eval gathers metrics alone.

    `states` counts the item's points without a verdict by their reason; `grounds` those that the judge decided
    (`judged`), and of them the ones whose grants had no true evidence (`ungrounded`); `answers` are the states of
    its answers (skillmix_tasks.scoring.reply), `extractions` how the visible ones were found in their replies;
    `cost` is what grading cost on the item's rank, and None but on the first item of each.
    """

    __slots__ = ("answers", "cost", "extractions", "grounds", "states")  # there is one for each item of a run

    states: Counter[str]
    grounds: Counter[str]
    answers: Counter[str]
    extractions: Counter[str]
    cost: dict[str, Any] | None

    def __new__(
        cls,
        value: float,
        states: Counter[str],
        grounds: Counter[str],
        answers: Counter[str],
        extractions: Counter[str],
        cost: dict[str, Any] | None,
    ) -> Self:
        """A float cannot be given its attributes later than here."""
        coverage = super().__new__(cls, value)
        coverage.states = states
        coverage.grounds = grounds
        coverage.answers = answers
        coverage.extractions = extractions
        coverage.cost = cost
        return coverage

    def __reduce__(self) -> tuple[type[GatheredCoverage], tuple[Any, ...]]:
        return GatheredCoverage, (
            float(self),
            self.states,
            self.grounds,
            self.answers,
            self.extractions,
            self.cost,
        )
