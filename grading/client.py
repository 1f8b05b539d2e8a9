"""Votes from an OpenAI-compatible endpoint: bounded concurrency, retries by the openai package."""

from __future__ import annotations

import asyncio
import json
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from openai import (
    APIError,
    AsyncOpenAI,
    BadRequestError,
    UnprocessableEntityError,
)
from pydantic import BaseModel, Field

from grading.backend import OnReply, Reply, VoteCall
from grading.prompt import verdict_schema
from grading.text import encodable
from grading.verdict import State, Usage

if TYPE_CHECKING:
    from grading.judge import JudgeSpec

_RETRIES = 5  # of one call, with backoff and Retry-After, inside the openai package
_TIMEOUT = 180.0  # seconds for one call; a reasoning judge needs them
_GIVE_UP_AFTER = 24  # calls in a row that failed for good: the endpoint is gone, the rest is not tried


_OPTIONAL = ("response_format", "temperature", "max_tokens", "seed")


class VoteClient:
    """Sends votes to `spec.base_url` with at most `concurrency` calls in flight."""

    def __init__(self, spec: JudgeSpec, *, api_key: str, concurrency: int) -> None:
        self._spec = spec
        self._api_key = api_key
        self._concurrency = concurrency
        # Parameters that the endpoint refused; found out at the first call, kept for the run.
        self.refused: set[str] = set()
        self._failures_in_a_row = 0

    async def run(self, calls: Iterator[VoteCall], on_reply: OnReply) -> None:
        """Answer all calls; each reply is reported as it comes."""
        async with AsyncOpenAI(
            base_url=self._spec.base_url, api_key=self._api_key, max_retries=_RETRIES, timeout=_TIMEOUT
        ) as client:

            async def worker() -> None:
                for call in calls:
                    on_reply(call, await self._ask(client, call))

            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(worker())

    async def _ask(self, client: AsyncOpenAI, call: VoteCall) -> Reply:
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            return Reply(
                State.API_FAILED, detail=f"not tried: {_GIVE_UP_AFTER} calls in a row had failed for good"
            )
        while True:
            refused_before = frozenset(self.refused)
            try:
                response = await client.chat.completions.with_raw_response.create(**self._parameters(call))
            except (BadRequestError, UnprocessableEntityError) as error:
                # Another call may have found the same refusal meanwhile: then just ask again.
                if self._adapt(error) or refused_before != self.refused:
                    continue
                return self._failed(error)
            except APIError as error:
                return self._failed(error)
            reply = _read(response.text)
            self._failures_in_a_row = self._failures_in_a_row + 1 if reply.state is State.API_FAILED else 0
            return reply

    def _parameters(self, call: VoteCall) -> dict[str, Any]:
        spec = self._spec
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
        if "max_tokens" in self.refused:
            parameters["max_completion_tokens"] = spec.max_tokens
        return {
            name: value for name, value in parameters.items() if value is not None and name not in self.refused
        }

    def _adapt(self, error: BadRequestError | UnprocessableEntityError) -> bool:
        """Leave out the parameter that the endpoint names in its refusal; False if there is none such."""
        for parameter in _named_in(error.body):
            if parameter in _OPTIONAL and parameter not in self.refused:
                self.refused.add(parameter)
                return True
        return False

    def _failed(self, error: Exception) -> Reply:
        self._failures_in_a_row += 1
        return Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])


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
    reasoning_content: Any = None  # of DeepSeek's kind of server
    reasoning: Any = None  # of OpenRouter's


class _Choice(BaseModel):
    message: _Message
    finish_reason: str | None = None


class _Body(BaseModel):
    """What is read of a reply's body; servers differ in all the rest."""

    choices: list[_Choice] = Field(min_length=1)
    usage: dict[str, Any] | None = None


def _read(text: str) -> Reply:
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
    if not content.strip() and (choice.message.reasoning_content or choice.message.reasoning):
        # With a limit that the reasoning used up, too: a higher one helps, a repetition may.
        end = ", which ended at max_tokens" if choice.finish_reason == "length" else ""
        return Reply(State.REASONING_ONLY, content, f"the reply holds nothing but reasoning{end}", usage)
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
