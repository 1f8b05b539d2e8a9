"""The work and cost of grading, as results record them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from grading.backend import Reply
from grading.cost.budget import Budget
from grading.failure import Failures, joined
from grading.models.spec import ModelSpec
from grading.verdict import State, Usage


@dataclass
class GradingStats:
    """Calls to the judge, votes read from the store, tokens and states, of one grader.

    `usage` is what this run's calls used, `saved` what the stored votes had used when they were bought. `expected`
    is what `expected_calls` calls were expected to use, before they were made. `calls_without_usage` got a reply
    without usage that can be counted: in `usage` they have an estimate, against a budget the most that they may
    have cost.
    `refused` are the parameters that votes went without because the endpoint does not take them. `failures` are
    the causes of failed calls.
    """

    calls: int = 0
    calls_without_usage: int = 0
    stored: int = 0
    usage: Usage = field(default_factory=Usage)
    saved: Usage = field(default_factory=Usage)
    expected_calls: int = 0
    expected: Usage = field(default_factory=Usage)
    states: Counter[str] = field(default_factory=Counter)  # of all votes, stored ones included
    refused: set[str] = field(default_factory=set)
    failures: Failures = field(default_factory=Failures)

    def count(self, state: State, reply: Reply) -> None:
        """Add one vote, or one text, as which `reply` was read."""
        self.states[state.value] += 1
        self.refused |= reply.refused
        if reply.failure:
            self.failures.add(reply.failure)
        if reply.stored:
            self.stored += 1
            self.saved += reply.usage
        elif state is not State.OVER_BUDGET:
            self.calls += 1
            self.calls_without_usage += reply.estimated
            self.usage += reply.usage

    def record(self, spec: ModelSpec, budget: Budget) -> dict[str, Any]:
        """The figures as results carry them; `dollars` is None where no price is known."""
        return {
            "calls": self.calls,
            "calls_without_usage": self.calls_without_usage,
            "votes_from_store": self.stored,
            "spent": _priced(self.usage, spec),
            "saved": _priced(self.saved, spec),
            "estimate": {"calls": self.expected_calls} | _priced(self.expected, spec),
            "refused_parameters": sorted(self.refused),
            "failures": self.failures.record(spec.remedy),
            "price": spec.price.model_dump(mode="json") if spec.price else None,
            "budget": budget.record(),
            "vote_states": dict(self.states),
        }


def _priced(usage: Usage, spec: ModelSpec) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.prompt,
        "cached_tokens": usage.cached,
        "completion_tokens": usage.completion,
        "dollars": spec.price.dollars(usage) if spec.price else None,
    }


def sum_known(figures: Iterable[float | None]) -> float | None:
    """The sum; None if a figure is not known."""
    known = list(figures)
    return None if None in known else sum(filter(None, known))


def total(records: Sequence[dict[str, Any]]) -> dict[str, Any] | None:
    """Records of several processes of one run, or of several graders of one judge, as one; None for no records.

    Figures are added up; a figure that is None in one record is None in the total.
    """
    if not records:
        return None
    names = dict.fromkeys(name for record in records for name in record)
    return {name: _joined(name, [record[name] for record in records if name in record]) for name in names}


def _joined(name: str, values: list[Any]) -> Any:
    if name == "price" or any(value is None for value in values):
        return values[0] if name == "price" else None
    if isinstance(values[0], dict):
        return total(values)
    if name == "failures":
        return joined(values)
    if isinstance(values[0], list):
        return sorted({entry for value in values for entry in value})
    return sum(values)
