"""One vote as a chat completion: the body that asks for it, and what comes back."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field

from grading.backend import Reply, VoteCall
from grading.prompt import verdict_schema
from grading.text import encodable
from grading.verdict import State, Usage

if TYPE_CHECKING:
    from collections.abc import Collection

    from grading.judge import JudgeSpec

_OPTIONAL = ("response_format", "temperature", "max_tokens", "seed")


def chat_parameters(spec: JudgeSpec, call: VoteCall, refused: Collection[str]) -> dict[str, Any]:
    """The body of the request, without the parameters that the endpoint has `refused`."""
    parameters: dict[str, Any] = {
        "model": spec.model,
        "messages": list(call.messages),
        "seed": call.seed,
        "temperature": spec.temperature,
        "max_tokens": spec.max_tokens,
        "response_format": {
            "type": "json_schema",
            "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema(call.criteria)},
        },
    }
    if "max_tokens" in refused:
        parameters["max_completion_tokens"] = spec.max_tokens
    return {name: value for name, value in parameters.items() if value is not None and name not in refused}


def refused_parameter(error: object, refused: Collection[str]) -> str | None:
    """The parameter that the body of an error names and that can be left out; None if there is none new."""
    return next((name for name in _named_in(error) if name in _OPTIONAL and name not in refused), None)


def _named_in(body: object) -> list[str]:
    """The parameters that an error's body blames, in the dialects of OpenAI and of FastAPI servers."""
    if not isinstance(body, dict):
        return []
    named = [str(body.get("param") or "").partition(".")[0]]
    for problem in body.get("detail") or () if isinstance(body.get("detail"), list) else ():
        if isinstance(problem, dict):
            named += [str(place) for place in problem.get("loc") or ()]
    # Without a field that says it, the message's first words do, in quotation marks; what follows may be an echo.
    named += re.findall(r"['\"`](\w+)['\"`]", str(body.get("message") or "")[:200])
    return named


class _Message(BaseModel):
    content: str | list[Any] | None = None
    refusal: str | None = None


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Body(BaseModel):
    """What is read of a reply's body; servers differ in all the rest."""

    choices: list[_Choice] = Field(min_length=1)
    usage: dict[str, Any] | None = None


def read_reply(text: str) -> Reply:
    """The reply in the body of a response with status 200, which need not be a chat completion."""
    try:
        # Once through the standard parser, which takes escaped lone surrogates; pydantic does not.
        body = _Body.model_validate_json(encodable(json.dumps(json.loads(text), ensure_ascii=False)))
    except (ValueError, RecursionError) as error:
        # Not a verdict that was paid for: an error page, or a router's error in the place of a reply.
        return Reply(State.API_FAILED, detail=f"no chat completion ({type(error).__name__}): {text[:200]!r}")
    choice, usage = body.choices[0], _usage(body.usage or {})
    content = _text(choice.message.content)
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Reply(State.REFUSED, content, choice.message.refusal or "content filter", usage)
    if choice.finish_reason == "length":
        return Reply(State.TRUNCATED, content, "the reply ended at max_tokens", usage)
    if not content.strip():
        return Reply(State.EMPTY, content, "the reply holds no text", usage)
    return Reply(State.GRADED, content, usage=usage)


def _text(content: str | list[Any] | None) -> str:
    if isinstance(content, list):  # parts, as some servers send them
        content = "".join(str(part.get("text", "")) for part in content if isinstance(part, dict))
    return content or ""


def _usage(usage: dict[str, Any]) -> Usage:
    details = usage.get("prompt_tokens_details")
    cached = details.get("cached_tokens") if isinstance(details, dict) else 0
    return Usage(_count(usage.get("prompt_tokens")), _count(usage.get("completion_tokens")), _count(cached))


def _count(value: object) -> int:
    # A server that does not count says 0 tokens: the verdict is worth more than the figure.
    return value if isinstance(value, int) and value >= 0 else 0
