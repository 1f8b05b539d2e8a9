"""Votes from an OpenAI-compatible endpoint: several in one request where it takes that, else one by one."""

from __future__ import annotations

import asyncio
import json
import os
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grading.backend import Reply, Sink, VoteCall
from grading.endpoint.chat import Dialect, replies_in
from grading.endpoint.saver import Saver
from grading.endpoint.transport import CallFailedError, StatusError, Transport
from grading.verdict import State, Usage

if TYPE_CHECKING:
    from grading.endpoint.throttle import Throttle
    from grading.models.spec import ModelSpec

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

    async def run(self, calls: Iterator[VoteCall], sink: Sink) -> None:
        """Answer all calls, begun in their order; replies are saved as they come, and then read."""
        saver = Saver(sink)
        waiting = _Waiting(calls)
        async with Transport(self._spec.url("chat/completions"), self._headers(), self._throttle) as transport:

            async def work(*, once: bool = False) -> None:
                # The workers take from one iterator and the throttle keeps their order, so that calls which
                # begin with the same text (votes on one answer, answers to one question) leave together.
                request = self._next(waiting)
                while request is not None and not sink.ended:
                    replies = await self._ask(transport, request)
                    waiting.put_back(request.votes[len(replies) :])
                    number = saver.keep(list(zip(request.votes, replies, strict=False)))
                    # The next request is made while the disk is waited for, and leaves after that.
                    request = None if once else self._next(waiting)
                    await saver.saved(number)

            reading = asyncio.create_task(saver.read())
            try:
                if not self._throttle.proved:
                    await work(once=True)
                async with asyncio.TaskGroup() as group:
                    for _ in range(self._throttle.bound):
                        group.create_task(work())
                if reading.done():
                    await reading  # it ends by an error only
            finally:
                reading.cancel()

    def _headers(self) -> dict[str, str]:
        headers = {"Authorization": f"Bearer {self._api_key}"}
        if self._spec.endpoint == "openai":  # for keys of several organisations or projects
            for name, variable in (("Organization", "OPENAI_ORG_ID"), ("Project", "OPENAI_PROJECT_ID")):
                if os.environ.get(variable):
                    headers[f"OpenAI-{name}"] = os.environ[variable]
        return headers

    def _next(self, waiting: _Waiting) -> _Request | None:
        """A request for the next votes; None if there are none."""
        votes = waiting.take(several="n" not in self._dialect.refused)
        return self._request(votes) if votes else None

    def _request(self, votes: Sequence[VoteCall]) -> _Request:
        refused = frozenset(self._dialect.refused)
        asked = votes[:1] if "n" in refused else votes
        body = self._dialect.request(asked[0], len(asked))
        return _Request(votes, len(asked), refused, json.dumps(body).encode())

    async def _ask(self, transport: Transport, request: _Request) -> list[Reply]:
        """The replies to the first votes of `request`, at least to one."""
        votes, dialect = request.votes, self._dialect
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            detail = f"not tried: {_GIVE_UP_AFTER} calls in a row had failed for good"
            return [Reply(State.API_FAILED, detail=detail)] * len(votes)
        while True:
            try:
                replies = replies_in(await transport.post(request.data), request.asked)
            except CallFailedError as error:
                # Another request may have found the same refusal meanwhile: then just ask again.
                if (isinstance(error, StatusError) and error.status in (400, 422)) and (
                    dialect.adapt(error.error) or request.refused != dialect.refused
                ):
                    request = self._request(votes)
                    continue
                self._failures_in_a_row += 1
                return [Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])] * request.asked
            if replies[0].state is State.API_FAILED:
                self._failures_in_a_row += 1
                return replies + [replace(replies[0], usage=Usage())] * (request.asked - 1)
            self._failures_in_a_row = 0
            if len(replies) < request.asked:
                dialect.refused.add("n")  # it was taken, and then not honoured
            self._throttle.used(sum(reply.usage.prompt + reply.usage.completion for reply in replies))
            return replies


@dataclass(frozen=True)
class _Request:
    """A request for the first `asked` of `votes`, which have the same messages; it goes without `refused`."""

    votes: Sequence[VoteCall]
    asked: int
    refused: frozenset[str]
    data: bytes


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
