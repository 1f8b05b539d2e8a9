"""Why a text was not accepted: one named reason for each, so that every try is accounted for."""

from __future__ import annotations

from enum import StrEnum

from grading import State

_NO_VERDICT = "no_verdict:"


class Reason(StrEnum):
    """The reasons that need no further word; `not_met` and `no_verdict` make the others."""

    FORMAT = "format"  # no answer in the reply, an empty one, or the prompt repeated
    REASONING_ONLY = "reasoning_only"  # the reply has reasoning and no text for its reader
    TOO_LONG = "too_long"  # more sentences than the item allows
    SKILL_NAMED = "skill_named"
    COPIED = "copied"  # a skill's own definition or example
    EXACT_DUPLICATE = "exact_duplicate"
    NEAR_DUPLICATE = "near_duplicate"
    OVER_BUDGET = "over_budget"  # not requested, or not judged, because the run's cap was reached
    SURPLUS = "surplus"  # good enough, but enough of its k had been accepted


_ANOTHER = "choose another teacher with --teacher"
_ADVICE = {
    Reason.FORMAT: "the replies hold no answer, or end too early; type --teacher-max-tokens 4096 if they were cut "
    f"off, or {_ANOTHER}",
    Reason.REASONING_ONLY: "the teacher reasons until its tokens are used up; type --teacher-max-tokens 16384, or "
    "switch its reasoning off at the endpoint",
    Reason.TOO_LONG: f"the teacher writes more sentences than asked; {_ANOTHER}",
    Reason.SKILL_NAMED: f"the teacher names the skills in its texts; {_ANOTHER}",
    Reason.COPIED: f"the teacher copies definitions or examples; {_ANOTHER}",
    Reason.EXACT_DUPLICATE: "the teacher writes the same text again and again; type --teacher-temperature 1",
    Reason.NEAR_DUPLICATE: "the teacher writes nearly the same text again and again; type --teacher-temperature 1",
    _NO_VERDICT: "the judge gives no verdict; choose another judge with --judge",
}


def not_met(criterion: str) -> str:
    """The judge denied `criterion`, the first one denied in the rubric's order."""
    return f"not_met:{criterion}"


def no_verdict(state: State) -> str:
    """The judge's votes gave no verdict; running out of money is its own reason."""
    return Reason.OVER_BUDGET.value if state is State.OVER_BUDGET else _NO_VERDICT + state.value


def advice(reason: str) -> str | None:
    """The meaning of a rejection of all texts for `reason`, and what to type.

    None for `not_met`: texts that were judged say how good the teacher is, which `--least-rate` decides about.
    """
    return _ADVICE.get(_NO_VERDICT if reason.startswith(_NO_VERDICT) else reason)


def is_decided(reason: str | None) -> bool:
    """Whether text, code and judge decided: an acceptance, or a reason that lies in the text."""
    return reason is None or not (reason in (Reason.OVER_BUDGET, Reason.SURPLUS) or reason.startswith(_NO_VERDICT))
