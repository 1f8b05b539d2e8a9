"""Why code took a point: a code with its details.

{"code": "names_skill", "found": "red herring"}
{"code": "copies_skill", "part": "definition", "found": "..."}
{"code": "too_long", "sentences": 4}
{"code": "too_long", "words": 131}
{"code": "private"}
"""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Any, Final, Literal, Self

from pydantic import BaseModel, model_serializer, model_validator

from skillmix_tasks.checks import WORDS

PRIVATE: Final = "[of a private pack]"
_SENTENCE: Final = re.compile(  # as earlier releases recorded it
    r"names the skill: (?P<named>.*)|copies the skill's (?P<part>definition|example): (?P<copied>.*)"
    r"|(?P<sentences>\d{1,9}) sentences|(?P<words>\d{1,9}) words, more than .*",
    re.DOTALL,
)


class LossCode(StrEnum):
    """The fault of the answer."""

    NAMES_SKILL = "names_skill"
    COPIES_SKILL = "copies_skill"
    TOO_LONG = "too_long"
    PRIVATE = "private"
    """It shows what is in a private pack, so that the results do not say more."""


class Loss(BaseModel, frozen=True, extra="forbid"):
    """Why code took a point. `found` are the answer's words that name the skill or copy its `part`."""

    code: LossCode
    found: str | None = None
    part: Literal["definition", "example"] | None = None
    sentences: int | None = None
    words: int | None = None

    @property
    def kind(self) -> str:
        """The reason in words, without what differs from answer to answer."""
        match self.code:
            case LossCode.NAMES_SKILL:
                return "names the skill"
            case LossCode.COPIES_SKILL:
                return f"copies the skill's {self.part}"
            case LossCode.TOO_LONG:
                return "too many sentences" if self.words is None else "too many words"
            case LossCode.PRIVATE:
                return PRIVATE

    def __str__(self) -> str:
        """The reason in words, with its details."""
        if self.code is LossCode.TOO_LONG:
            return (
                f"{self.sentences} sentences"
                if self.words is None
                else f"{self.words} words, more than {WORDS} for each sentence allowed"
            )
        return self.kind if self.found is None else f"{self.kind}: {self.found}"

    @model_validator(mode="before")
    @classmethod
    def _of_sentence(cls, value: Any) -> Any:
        """Results of earlier releases hold the reason as a sentence."""
        if not isinstance(value, str):
            return value
        if value == PRIVATE:
            return {"code": LossCode.PRIVATE}
        match = _SENTENCE.fullmatch(value)
        if match is None:
            raise ValueError(f"the reason {value[:80]!r} is not known to this release, and may be of a newer one")
        if match["named"] is not None:
            return {"code": LossCode.NAMES_SKILL, "found": match["named"]}
        if match["part"]:
            return {"code": LossCode.COPIES_SKILL, "part": match["part"], "found": match["copied"]}
        return {"code": LossCode.TOO_LONG, "sentences": match["sentences"], "words": match["words"]}

    @model_validator(mode="after")
    def _complete(self) -> Self:
        details = {name for name, value in self if value is not None} - {"code"}
        allowed: dict[LossCode, list[set[str]]] = {
            LossCode.NAMES_SKILL: [{"found"}],
            LossCode.COPIES_SKILL: [{"part", "found"}],
            LossCode.TOO_LONG: [{"sentences"}, {"words"}],
            LossCode.PRIVATE: [set()],
        }
        if details not in allowed[self.code]:
            raise ValueError(f"the details of {self.code.value!r} are not {', '.join(sorted(details)) or 'none'}")
        return self

    @model_serializer
    def _details(self) -> dict[str, Any]:
        return {name: value for name, value in self if value is not None}
