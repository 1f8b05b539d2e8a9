"""Why a text was not accepted: one named reason for each, so that every try is accounted for."""

from __future__ import annotations

from enum import StrEnum

from grading import State
from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

_NOT_MET = "not_met:"
_NO_VERDICT = "no_verdict:"


class Reason(StrEnum):
    """The reasons that need no further word; `not_met` and `no_verdict` make the others."""

    FORMAT = "format"  # no answer in the reply, an empty one, or the prompt said back
    TOO_LONG = "too_long"  # more sentences than the item allows
    SKILL_NAMED = "skill_named"
    COPIED = "copied"  # a skill's own definition or example
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    OVER_BUDGET = "over_budget"  # not asked, or not judged, because the run's cap was reached
    SURPLUS = "surplus"  # good enough, but enough of its k had been accepted


def not_met(criterion: str) -> str:
    """The judge denied `criterion`, the first one denied in the rubric's order."""
    return _NOT_MET + criterion


def no_verdict(state: State) -> str:
    """The judge's votes gave no verdict; running out of money is its own reason."""
    if state is State.GRADED:
        raise ValueError("a graded answer has a verdict")
    return Reason.OVER_BUDGET.value if state is State.OVER_BUDGET else _NO_VERDICT + state.value


def is_reason(text: str) -> bool:
    """Whether `text` is one of the reasons above."""
    kind, separator, rest = text.partition(":")
    if not separator:
        return text in set(Reason)
    if kind + separator == _NO_VERDICT:
        return rest in set(State) - {State.GRADED, State.OVER_BUDGET}
    return kind + separator == _NOT_MET and (
        rest in (TOPIC, SENSE, LENGTH) or (rest.startswith("s") and rest[1:].isdecimal())
    )


def is_decided(reason: str | None) -> bool:
    """Whether text, code and judge decided: an acceptance, or a reason that lies in the text."""
    return reason is None or not (reason in (Reason.OVER_BUDGET, Reason.SURPLUS) or reason.startswith(_NO_VERDICT))
