"""What every habit of the zoo is made of."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, ClassVar

from grading import State
from grading.failure import Cause

MODEL = "judge-1"
ANSWER = "The old boat dreams of open water."
CRITERIA = ("boat", "storm")
EARNED = {"boat": True, "storm": False}
TEXT = json.dumps(
    {
        "boat": {"quote": "The old boat dreams", "earned": True},
        "storm": {"quote": "", "earned": False},
    }
)
USAGE = {"prompt_tokens": 100, "completion_tokens": 30}
Answer = tuple[int, dict[str, str], bytes]
Json = dict[str, Any]


@dataclass(frozen=True)
class Whole:
    """Every criterion is decided as on a good endpoint; `without` is what results say that votes went without."""

    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ended:
    """Nothing is decided; check or run says the cause in the endpoint's `words`."""

    cause: Cause
    words: str


@dataclass(frozen=True)
class Lost:
    """Votes have a state of their own."""

    state: State


def answer(status: int, body: object, headers: dict[str, str] | None = None) -> Answer:
    """A reply with a body of JSON, or of the bytes or text given."""
    content = body if isinstance(body, bytes) else (body if isinstance(body, str) else json.dumps(body)).encode()
    return status, {"Content-Type": "application/json", **(headers or {})}, content


def error(message: str, **fields: Any) -> Json:
    """An error as OpenAI writes one."""
    return {"error": {"message": message, "type": "invalid_request_error", "param": None, "code": None, **fields}}


def google(code: int, message: str, status: str, **fields: Any) -> Json:
    """An error as Google writes one, which often comes in a list."""
    return {"error": {"code": code, "message": message, "status": status, **fields}}


def anthropic(message: str, kind: str = "invalid_request_error") -> Json:
    """An error as Anthropic writes one."""
    return {"type": "error", "error": {"type": kind, "message": message}}


def choice(content: object, **message: Any) -> Json:
    return {"message": {"role": "assistant", "content": content, **message}, "finish_reason": "stop"}


def good(body: Json, content: object = TEXT, **message: Any) -> Answer:
    """A good reply with as many choices as were asked for."""
    return answer(200, {"choices": [choice(content, **message)] * body.get("n", 1), "usage": USAGE})


class Habit:
    """An endpoint without one. `number` counts its chats from 0, the check's own among them."""

    source: ClassVar[str] = ""
    outcome: ClassVar[Whole | Ended | Lost] = Whole()
    formless: ClassVar[Whole | Ended | Lost | None] = None  # the outcome where no form is asked for, if another
    wasted: ClassVar[int] = 5  # chats, at most, that bring nothing until the endpoint is understood

    def models(self) -> Answer:
        return answer(200, {"object": "list", "data": [{"id": MODEL, "object": "model"}]})

    def chat(self, body: Json, number: int) -> Answer:
        return good(body)


class Always(Habit):
    """Refuses every chat."""

    reply: Answer = answer(500, "")
    wasted = 2

    def chat(self, body: Json, number: int) -> Answer:
        return self.reply


def is_check(body: Json) -> bool:
    """Whether this is the chat of one token before a run."""
    return bool(body.get("max_tokens") == 1)
