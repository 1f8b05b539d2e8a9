"""Votes from an OpenAI-compatible endpoint: several in one request where it takes that, else one by one."""

from __future__ import annotations

import asyncio
import os
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING

from grading.backend import OnReply, Reply, VoteCall
from grading.chat import Dialect, read_replies
from grading.saver import Saver
from grading.transport import CallFailedError, StatusError, Transport
from grading.verdict import State

if TYPE_CHECKING:
    from grading.model_spec import ModelSpec
    from grading.throttle import Throttle

_GIVE_UP_AFTER = 24  # requests in a row that failed for good: the endpoint is gone, the rest is not tried


class VoteClient:
    """Sends votes to `spec.base_url` as `throttle` lets them out.

    A first request goes alone, to find out which parameters the endpoint takes.
    """

    def __init__(self, spec: ModelSpec, dialect: Dialect, throttle: Throttle, *, api_key: str) -> None:
        self._spec = spec
        self._dialect = dialect
        self._throttle = throttle
        self._api_key = api_key
        self._failures_in_a_row = 0

    async def run(self, calls: Iterator[VoteCall], on_reply: OnReply, save: Callable[[], None]) -> None:
        """Answer all calls, begun in their order; replies are reported as they come, and then saved."""
        saver = Saver(on_reply, save)
        waiting = _Waiting(calls)
        async with Transport(self._spec.base_url, self._headers(), self._throttle) as transport:

            async def answer_next() -> bool:
                # The workers take from one iterator and the throttle keeps their order, so that calls which
                # begin with the same text (votes on one answer, answers to one question) leave together.
                votes = waiting.take(several="n" not in self._dialect.refused)
                if not votes:
                    return False
                replies = await self._ask(transport, votes)
                waiting.put_back(votes[len(replies) :])
                await saver.keep(list(zip(votes, replies, strict=False)))
                return True

            async def worker() -> None:
                while await answer_next():
                    pass

            if not self._throttle.proved:
                await answer_next()
            async with asyncio.TaskGroup() as group:
                for _ in range(self._throttle.bound):
                    group.create_task(worker())

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if self._spec.endpoint == "openai":  # for keys of several organisations or projects
            for name, variable in (("Organization", "OPENAI_ORG_ID"), ("Project", "OPENAI_PROJECT_ID")):
                if os.environ.get(variable):
                    headers[f"OpenAI-{name}"] = os.environ[variable]
        return headers

    async def _ask(self, transport: Transport, votes: Sequence[VoteCall]) -> list[Reply]:
        """The replies to the first of `votes`, which have the same messages; at least one."""
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            detail = f"not tried: {_GIVE_UP_AFTER} calls in a row had failed for good"
            return [Reply(State.API_FAILED, detail=detail)] * len(votes)
        dialect = self._dialect
        while True:
            refused_before = frozenset(dialect.refused)
            asked = votes[:1] if "n" in dialect.refused else votes
            try:
                replies = read_replies(await transport.post(dialect.request(asked[0], len(asked))))
            except CallFailedError as error:
                # Another request may have found the same refusal meanwhile: then just ask again.
                if (isinstance(error, StatusError) and error.status in (400, 422)) and (
                    dialect.adapt(error.error) or refused_before != dialect.refused
                ):
                    continue
                self._failures_in_a_row += 1
                return [Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])] * len(asked)
            if replies[0].state is State.API_FAILED:
                self._failures_in_a_row += 1
                return replies * len(asked)
            self._failures_in_a_row = 0
            if len(replies) < len(asked):
                dialect.refused.add("n")  # it was taken, and then not honoured
            replies = replies[: len(asked)]
            self._throttle.used(sum(reply.usage.prompt + reply.usage.completion for reply in replies))
            return replies


class _Waiting:
    """The calls that nobody has taken yet."""

    def __init__(self, calls: Iterator[VoteCall]) -> None:
        self._calls = calls
        self._returned: deque[VoteCall] = deque()

    def take(self, *, several: bool) -> list[VoteCall]:
        """The next call, with `several` also those behind it that have the same messages; empty at the end."""
        taken: list[VoteCall] = []
        while (call := self._next()) is not None:
            if taken and call.messages != taken[0].messages:
                self._returned.appendleft(call)
                break
            taken.append(call)
            if not several:
                break
        return taken

    def put_back(self, calls: Sequence[VoteCall]) -> None:
        """Have these taken next."""
        self._returned.extendleft(reversed(calls))

    def _next(self) -> VoteCall | None:
        return self._returned.popleft() if self._returned else next(self._calls, None)
