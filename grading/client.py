"""Votes from an OpenAI-compatible endpoint: bounded concurrency, retries by the openai package."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from typing import TYPE_CHECKING

from openai import (
    APIError,
    AsyncOpenAI,
    BadRequestError,
    UnprocessableEntityError,
)

from grading.backend import OnReply, Reply, VoteCall
from grading.chat import chat_parameters, read_reply, refused_parameter
from grading.verdict import State

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
                response = await client.chat.completions.with_raw_response.create(
                    **chat_parameters(self._spec, call, self.refused)
                )
            except (BadRequestError, UnprocessableEntityError) as error:
                # Another call may have found the same refusal meanwhile: then just ask again.
                if self._adapt(error) or refused_before != self.refused:
                    continue
                return self._failed(error)
            except APIError as error:
                return self._failed(error)
            reply = read_reply(response.text)
            self._failures_in_a_row = self._failures_in_a_row + 1 if reply.state is State.API_FAILED else 0
            return reply

    def _adapt(self, error: BadRequestError | UnprocessableEntityError) -> bool:
        """Leave out the parameter that the endpoint names in its refusal; False if there is none such."""
        parameter = refused_parameter(error.body, self.refused)
        if parameter is None:
            return False
        self.refused.add(parameter)
        return True

    def _failed(self, error: Exception) -> Reply:
        self._failures_in_a_row += 1
        return Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])
