"""A student's reply: its visible text, its reasoning, and its state.

docs/students.md has the reasons for what counts as an answer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from enum import StrEnum
from typing import Any, Self

from pydantic import BaseModel, Field

from grading.keys import redact
from grading.protocol.reasoning import Split, split_reasoning
from grading.safety.bounds import cut
from grading.safety.text import encodable

NO_ANSWER = "no_answer"
"""Why a point has no verdict whose answer has no text to judge."""


class AnswerState(StrEnum):
    """The state of one answer."""

    ANSWERED = "answered"
    CUT_OFF = "cut_off"
    """The token limit was reached before any visible text."""
    REASONING_ONLY = "reasoning_only"
    """The reply ended by itself and holds nothing but reasoning."""
    FILTERED = "filtered"
    """The provider's filter stopped the reply."""
    API_FAILED = "api_failed"
    REFUSED = "refused"
    """The student declined in the field that is meant for that."""
    EMPTY = "empty"

    @property
    def scored(self) -> bool:
        """Whether the answer has points: the student's own doing has, if only zeros."""
        return self in (AnswerState.ANSWERED, AnswerState.REFUSED, AnswerState.EMPTY)


class ReplyFacts(BaseModel, extra="forbid", frozen=True):
    """The facts of a reply beside its text.

    `cut`: it ended at the token limit. `reasoning_tokens` is None if unknown.
    """

    state: AnswerState = AnswerState.ANSWERED
    cut: bool = False
    reasoning: str = ""
    reasoning_tokens: int | None = Field(default=None, ge=0)
    detail: str = ""


USUAL = ReplyFacts()


class StudentReply(str):
    """The visible text of a reply, without keys and within bounds, with the facts of the reply.

    A str, since lm-eval carries it from its model to its tasks.
    """

    __slots__ = ("facts",)

    facts: ReplyFacts

    def __new__(cls, text: str = "", facts: ReplyFacts = USUAL) -> Self:
        """A str cannot be given its attributes later than here."""
        reply = super().__new__(cls, text)
        reply.facts = facts
        return reply

    @classmethod
    def failed(cls, state: AnswerState, detail: str) -> Self:
        """A reply without a text."""
        return cls("", ReplyFacts(state=state, detail=detail))

    @property
    def state(self) -> AnswerState:
        return self.facts.state

    def record(self) -> dict[str, Any]:
        """The reply as JSON, without default values."""
        return {"text": str(self), "state": self.state.value} | self.facts.model_dump(
            mode="json", exclude_defaults=True
        )

    @classmethod
    def of_record(cls, record: dict[str, Any]) -> Self:
        """The reply that `record` gave; ValueError, KeyError or TypeError if it is invalid."""
        facts = {name: value for name, value in record.items() if name != "text"}
        return cls(record["text"], ReplyFacts.model_validate(facts))


def read_reply(
    split: Split | str | None,
    *,
    cut_off: bool = False,
    filtered: bool = False,
    refusal: str = "",
    reasoning_tokens: int | None = None,
) -> StudentReply:
    """The reply with the state that follows from its facts; a text is split first.

    `cut_off`: generation ended at the token limit. `refusal` is the text of the field for refusals.
    """
    if not isinstance(split, Split):
        split = split_reasoning(split or "")
    visible = "" if split.open else clean(split.visible)
    detail = ""
    if filtered:
        state = AnswerState.FILTERED
    elif visible.strip():
        state = AnswerState.ANSWERED
    elif refusal:
        state, detail = AnswerState.REFUSED, clean(refusal)[:300]
    elif cut_off:
        state = AnswerState.CUT_OFF
    elif split.open or split.reasoning or reasoning_tokens:
        state = AnswerState.REASONING_ONLY
    else:
        state = AnswerState.EMPTY
    facts = ReplyFacts(
        state=state,
        cut=cut_off,
        reasoning=clean(split.reasoning),
        reasoning_tokens=reasoning_tokens,
        detail=detail,
    )
    return StudentReply(visible, facts)


def clean(text: str) -> str:
    """A student's text as it is stored and judged: without keys, and cut with a mark if it is too long."""
    return cut(redact(encodable(text)))


def as_reply(reply: str | None) -> StudentReply:
    """The reply of a model that returns only a text."""
    return reply if isinstance(reply, StudentReply) else read_reply(reply)


def count_answers(replies: Iterable[dict[str, Any]]) -> Counter[str]:
    """How many answers are in each state, from the `student` of their records.

    Beside the states it counts what `cut` names: visible answers that ended at the limit, and `reasoned`: answers
    after reasoning, with their `reasoning_tokens`, and of these the `uncounted`.
    """
    found: Counter[str] = Counter()
    for one in replies:
        found[one["state"]] += 1
        found["cut"] += bool(one.get("cut") and one["state"] == AnswerState.ANSWERED)
        reasoned = bool(one.get("reasoning_tokens") or any(one.get("reasoning", ())))
        found["reasoned"] += reasoned
        found["uncounted"] += reasoned and one.get("reasoning_tokens") is None
        found["reasoning_tokens"] += one.get("reasoning_tokens") or 0
    return found
