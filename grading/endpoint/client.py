"""Votes from an OpenAI-compatible endpoint: several in one request where it takes that, else one by one."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import random
from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from grading.backend import Calls, Group, Reply, VoteCall
from grading.endpoint.chat import replies_in
from grading.endpoint.dialect import Dialect
from grading.endpoint.errors import CallFailedError, StatusError
from grading.endpoint.learner import MOST_WASTED
from grading.endpoint.rate_headers import ATTEMPTS
from grading.endpoint.throttle import Throttle
from grading.endpoint.transport import Transport
from grading.failure import Cause, Failure
from grading.models.spec import ModelSpec
from grading.verdict import State

_GIVE_UP_AFTER = 24  # failed requests in a row after which the endpoint counts as down, and the rest is not tried
_GIVE_UP_AT_FIRST = 2  # the same, if none was ever answered
_SUSPICIOUS = 2  # attempts at a request with a parameter that may be why the server fails
_LUCK = 2  # retries of a reply that was not JSON, in the same form
_UNLUCKY = 3  # failed calls after which no form is requested
_SPACING = 0.004  # seconds, at most, between the first requests of two workers
_AGAIN = 1.0  # seconds, at most, until a charged failure is retried

logger = logging.getLogger(__name__)


class VoteClient:
    """Sends votes to `spec.base_url` as `throttle` lets them out.

    The first requests go alone, to find out which parameters the endpoint takes. A failure that every further
    request would meet ends the run: `ended` says why, and nothing more is sent.
    """

    def __init__(self, spec: ModelSpec, dialect: Dialect, throttle: Throttle, *, api_key: str) -> None:
        self.ended: Failure | None = None
        self._spec = spec
        self._dialect = dialect
        self._throttle = throttle
        self._api_key = api_key
        self._failures_in_a_row = 0
        self._wasted = 0  # requests that were refused before the first was taken
        self._unlucky = 0
        self._last: Failure | None = None
        self._deferred: set[str] = set()  # keys of calls that had their attempts once
        self._calls: Calls | None = None

    async def run(self, calls: Calls, begun: Iterator[VoteCall], hand: Callable[[Group], Awaitable[None]]) -> None:
        """Answer all calls that `begun`, an iterator of `calls`, yields, in their order.

        Replies are handed on as they come; what `hand` returns is done when they are on disk.
        """
        if calls is not self._calls:  # failures of earlier ones may have passed
            self._calls, self._failures_in_a_row = calls, 0
        self._charge = calls.charge
        self._doubt = asyncio.Lock()
        waiting = _Waiting(begun)
        url, name = self._spec.url("chat/completions"), self._spec.model
        headers = request_headers(self._spec, self._api_key)
        async with Transport(url, headers, self._throttle, name=name) as transport:

            async def work(*, once: bool = False) -> bool:
                # The workers take from one iterator and the throttle keeps their order, so that calls which
                # begin with the same text (votes on one answer, answers to one question) leave together.
                request = self._next(waiting)
                while request is not None and not calls.ended:
                    replies = await self._ask(transport, request)
                    if replies:
                        waiting.put_back(request.votes[len(replies) :])
                    else:
                        waiting.defer(request.votes)
                    saved = hand(list(zip(request.votes, replies, strict=False)))  # perhaps of none
                    # The next request is prepared during the wait for the disk, and leaves after that.
                    request = None if once else self._next(waiting)
                    await saved
                    if once:
                        return True
                return False

            while not self._known() and await work(once=True):
                pass
            async with asyncio.TaskGroup() as workers:
                for _ in range(self._throttle.bound):
                    if waiting.exhausted:
                        break
                    workers.create_task(work())
                    await asyncio.sleep(self._spacing())

    def _spacing(self) -> float:
        """Seconds from one worker's start to the next: those that start together have their replies together.

        Each reply would then wait until those before it are read and saved.
        """
        return min(self._throttle.latency / self._throttle.bound, _SPACING)

    def _known(self) -> bool:
        """Whether the endpoint's parameters are known, or that it accepts no request."""
        return self.ended is not None or (self._throttle.proved and self._dialect.settled)

    def _next(self, waiting: _Waiting) -> _Request | None:
        """A request for the next votes; None if none are left."""
        votes = waiting.take(several="n" not in self._dialect.current)
        return self._request(votes) if votes else None

    def _request(self, votes: Sequence[VoteCall], *, formless: bool = False) -> _Request:
        without = self._dialect.current
        asked = votes[:1] if "n" in without else votes
        if formless:
            without = without - {"json_schema"} | {"response_format"}
        body = self._dialect.request(asked[0], len(asked), without)
        return _Request(votes, len(asked), without, json.dumps(body).encode())

    async def _ask(self, transport: Transport, request: _Request) -> list[Reply]:
        """The replies to the first votes of `request`; empty if it is retried at the end of the run."""
        votes, dialect, luck, paid, spent = request.votes, self._dialect, 0, 0, 0
        confirmed = guessed = False
        while True:
            if self.ended is None and self._failures_in_a_row >= self._patience():
                self.ended = self._last
            if self.ended is not None:
                failure = self.ended
                return [Reply(State.API_FAILED, detail=f"not tried: {failure}", failure=failure)] * len(votes)
            try:
                doubtful = not guessed and dialect.doubts(request.without, request.asked)
                most = ATTEMPTS if self._throttle.proved else MOST_WASTED
                # To have one more parameter back is tried once, and not for long.
                suspicious = _SUSPICIOUS if dialect.settled else 1
                attempts = suspicious if doubtful else max(1, most - spent)
                content = await transport.post(request.data, attempts=attempts)
            except CallFailedError as error:
                self._last = error.failure
                if doubtful and error.passing and not error.busy and not error.usage:
                    # The server fails by itself, or because of this request's parameters.
                    spent += attempts
                    if isinstance(error, StatusError) and error.status in (500, 501):
                        if dialect.refuse(error, request.without, request.asked):
                            request = self._request(votes)
                            continue
                        request = self._request(votes)
                    guessed = True
                    continue
                if isinstance(error, StatusError) and not error.passing:
                    if error.filtered:
                        return self._replied_to(request, [error.reply()] * request.asked)
                    if error.luck:
                        luck += 1
                        if luck <= _LUCK:
                            continue
                        if "response_format" not in request.without:
                            self._lose_form()
                            request = self._request(votes, formless=True)
                            continue
                    elif error.final:
                        async with self._doubt:  # one request finds out whether it was an exception
                            if self.ended is None and (confirmed or not self._throttle.proved):
                                self.ended = error.failure
                            confirmed = True
                        if self.ended is None:
                            continue
                    else:
                        self._wasted += not self._throttle.proved
                        if self._wasted < MOST_WASTED and dialect.refuse(error, request.without, request.asked):
                            request = self._request(votes)
                            continue
                        if self._wasted >= MOST_WASTED and not self._throttle.proved:
                            self.ended = error.failure
                elif error.usage and error.passing and paid < ATTEMPTS and self._charge(votes[0], error.usage):
                    paid += 1
                    await asyncio.sleep(random.uniform(0, _AGAIN))  # noqa: S311
                    continue
                self._failures_in_a_row += 1
                if error.passing and self._throttle.proved and votes[0].key not in self._deferred:
                    self._deferred.update(vote.key for vote in votes)
                    return []
                failed = error.reply()
                return [replace(failed, usage=error.usage), *[failed] * (request.asked - 1)]
            self._failures_in_a_row = 0
            replies = replies_in(content, request.asked)
            dialect.took(request.without, request.asked)
            if len(content["choices"]) < request.asked:
                dialect.give_up("n")  # it was accepted, and then not honoured
            self._throttle.used(sum(reply.usage.prompt + reply.usage.completion for reply in replies))
            return self._replied_to(request, replies)

    def _replied_to(self, request: _Request, replies: list[Reply]) -> list[Reply]:
        """The replies with what their request went without; `n` changes none of them."""
        without = request.without - {"n"}
        return [replace(reply, refused=without) for reply in replies] if without else replies

    def _lose_form(self) -> None:
        self._unlucky += 1
        if self._unlucky >= _UNLUCKY or not self._dialect.form_was_accepted:
            self._dialect.give_up("response_format")

    def _patience(self) -> int:
        if self._throttle.proved:
            return _GIVE_UP_AFTER
        return 1 if self._last and self._last.cause is Cause.NOT_A_CHAT else _GIVE_UP_AT_FIRST


def request_headers(spec: ModelSpec, api_key: str) -> dict[str, str]:
    """The headers of every request to the endpoint of `spec`."""
    headers = {"Authorization": f"Bearer {api_key}"}
    if "api-version=" in spec.base_url:  # Azure, which takes keys under this name
        headers["api-key"] = api_key
    if spec.endpoint == "openai":  # for keys of several organisations or projects
        for name, variable in (("Organization", "OPENAI_ORG_ID"), ("Project", "OPENAI_PROJECT_ID")):
            if os.environ.get(variable):
                headers[f"OpenAI-{name}"] = os.environ[variable].strip()
    return headers


@dataclass(frozen=True)
class _Request:
    """A request for the first `asked` of `votes`, which have the same messages; it goes without `without`."""

    votes: Sequence[VoteCall]
    asked: int
    without: frozenset[str]
    data: bytes


class _Waiting:
    """The calls that no worker has taken yet."""

    def __init__(self, calls: Iterator[VoteCall]) -> None:
        self._calls = calls
        self._returned: deque[VoteCall] = deque()
        self._deferred: deque[VoteCall] = deque()
        self.exhausted = False  # whether all calls were taken at least once

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
        self._returned.extendleft(reversed(calls))

    def defer(self, calls: Sequence[VoteCall]) -> None:
        self._deferred.extend(calls)

    def _next(self) -> VoteCall | None:
        if self._returned:
            return self._returned.popleft()
        call = next(self._calls, None)
        self.exhausted = call is None
        return self._deferred.popleft() if call is None and self._deferred else call
