"""Votes from an OpenAI-compatible endpoint: bounded concurrency, retries by the openai package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from openai import (
    APIError,
    AsyncOpenAI,
    BadRequestError,
)
from openai.types.chat import ChatCompletion

from grading.backend import OnReply, Reply, VoteCall
from grading.prompt import verdict_schema
from grading.text import encodable
from grading.verdict import State, Usage

if TYPE_CHECKING:
    from grading.judge import JudgeSpec

_RETRIES = 5  # of one call, with backoff and Retry-After, inside the openai package
_TIMEOUT = 180.0  # seconds for one call; a reasoning judge needs them
_GIVE_UP_AFTER = 24  # calls in a row that failed for good: the endpoint is gone, the rest is not tried


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
                completion = await client.chat.completions.create(**self._parameters(call))
            except BadRequestError as error:
                # Another call may have found the same refusal meanwhile: then just ask again.
                if self._adapt(error) or refused_before != self.refused:
                    continue
                return self._failed(error)
            except APIError as error:
                return self._failed(error)
            except ValueError as error:  # a body that is not JSON
                return self._failed(error)
            self._failures_in_a_row = 0
            return _read(completion)

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

    def _adapt(self, error: BadRequestError) -> bool:
        """Leave out the parameter that the endpoint names in its refusal; False if there is none such."""
        body = error.body if isinstance(error.body, dict) else {}
        named = f"{body.get('param') or ''} {body.get('message') or error.message}"
        for parameter in ("response_format", "json_schema", "temperature", "max_tokens", "seed"):
            known = "response_format" if parameter == "json_schema" else parameter
            if parameter in named and known not in self.refused:
                self.refused.add(known)
                return True
        return False

    def _failed(self, error: Exception) -> Reply:
        self._failures_in_a_row += 1
        return Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])


def _read(completion: ChatCompletion) -> Reply:
    usage = _usage(completion)
    if not completion.choices:
        return Reply(State.EMPTY, detail="no choice in the reply", usage=usage)
    choice = completion.choices[0]
    text = encodable(choice.message.content or "")
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Reply(State.REFUSED, text, encodable(choice.message.refusal or "content filter"), usage)
    if choice.finish_reason == "length":
        return Reply(State.TRUNCATED, text, "the reply ended at max_tokens", usage)
    if not text.strip():
        return Reply(State.EMPTY, text, "the reply holds no text", usage)
    return Reply(State.GRADED, text, usage=usage)


def _usage(completion: ChatCompletion) -> Usage:
    usage = completion.usage
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached)
