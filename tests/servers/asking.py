"""How the chat server's own tests ask it, and read what it says, through the openai client."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from grading.protocol.prompt import build_messages, verdict_schema
from grading.verdict import Criterion, GradingRequest

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

IDS = tuple(f"criterion {number}" for number in range(8))
ANSWER = "Naïve sailors praise the “harbour”,\nfor whoever doubts it has never been at sea. So it must be safe!"


def grading(answer: str = ANSWER, ids: tuple[str, ...] = IDS, context: str = "Write it.") -> list[Any]:
    criteria = tuple(Criterion(name, f"The text shows {name}.") for name in ids)
    return list(build_messages(GradingRequest(context, criteria, answer)))


def strict(ids: tuple[str, ...] = IDS) -> Any:
    schema = {"name": "verdict", "strict": True, "schema": verdict_schema(ids)}
    return {"type": "json_schema", "json_schema": schema}


def judge(client: OpenAI, answer: str = ANSWER, **options: Any) -> ChatCompletion:
    options = {"seed": 1, "response_format": strict(), **options}
    completion: ChatCompletion = client.chat.completions.create(model="judge", messages=grading(answer), **options)
    return completion


def student(client: OpenAI, *said: str, **options: Any) -> ChatCompletion:
    roles = ("user", "assistant")
    messages: Any = [{"role": roles[turn % 2], "content": text} for turn, text in enumerate(said or ("Hi",))]
    completion: ChatCompletion = client.chat.completions.create(model="student", messages=messages, **options)
    return completion


def text(completion: ChatCompletion, index: int = 0) -> str:
    content = completion.choices[index].message.content
    assert content is not None
    return content


def marks_in(reply: str) -> dict[str, bool]:
    return {name: mark["earned"] for name, mark in json.loads(reply).items()}


def earned(completion: ChatCompletion, index: int = 0) -> dict[str, bool]:
    return marks_in(text(completion, index))
