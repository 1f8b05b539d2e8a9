"""One HTTP client for a run: chat requests that a throttle lets out, retried by tenacity.

aiohttp is used without the openai package above it: a request costs 0.5 ms of CPU instead of 4 to 5, and at 200 in
flight the pace depends on that. docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import asyncio
import logging
import math
import random
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import KW_ONLY, dataclass
from typing import Any, Self

import aiohttp
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from grading.endpoint.bodies import ACCEPTED, MOST_BODY, BodyError, BrokenBodyError, Unpacker
from grading.endpoint.chat import failure_in
from grading.endpoint.errors import CallFailedError, NoReplyError, NotAChatError, StatusError, body_of, words_of
from grading.endpoint.rate_headers import ATTEMPTS, BACKOFF, quota
from grading.endpoint.route import fault_of, proxy_of, refuse_of_proxy, trusted
from grading.endpoint.throttle import Throttle
from grading.keys import known_keys, redacted
from grading.safety.bounds import load_json

_ATTEMPTS_REFUSED = 10  # at one call that is refused by a rate limit: limits are counted by the minute
_PATIENCE = 600.0  # seconds after the first attempt in which a further one may begin
_TIMEOUT = 180.0  # seconds for one attempt; a reasoning judge needs them
_CONNECT_TIMEOUT = 15.0
_SILENCE = 45.0  # seconds without a reply, after which a line logs the wait
_LOOK = 5.0  # seconds between two looks at that
_JITTER = 0.25  # seconds by which requests with the same Retry-After are spread

logger = logging.getLogger(__name__)


@dataclass
class _Progress:
    """Of one call: how many attempts it has, and when its first and its last one left."""

    attempts: int
    first: float | None = None
    last: float = 0.0


@dataclass(eq=False, repr=False)
class Transport:
    """Sends chat requests to `url` as `throttle` lets them out; use as an async context manager.

    `name` is the model's, for a line about a long silence. An attempt ends after `timeout` seconds. Without
    `verify` the endpoint's certificate is not checked. With `charged` a failure that reports usage is retried like
    any other; without it the caller decides.
    """

    url: str
    headers: Mapping[str, str]
    throttle: Throttle
    _: KW_ONLY
    name: str
    timeout: float | None = None
    verify: bool = True
    charged: bool = False

    async def __aenter__(self) -> Self:
        self.throttle.open()
        self._keys = known_keys()
        self._asked = 0  # calls that have no reply yet
        self._replied = 0.0  # when the last reply came, or the first of these calls was made
        self._last: CallFailedError | None = None
        # Not the session's, since aiohttp gives those to the proxy, too, and the key is among them.
        self._headers = {**self.headers, "Content-Type": "application/json", "Accept-Encoding": ACCEPTED}
        total = _TIMEOUT if self.timeout is None else self.timeout
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self.throttle.bound, ssl=trusted(self.url) if self.verify else False
            ),
            timeout=aiohttp.ClientTimeout(total=total, sock_connect=_CONNECT_TIMEOUT),
            auto_decompress=False,
            proxy=proxy_of(self.url),
        )
        self._watching = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watching.cancel()
        await self._session.close()

    async def post(self, data: bytes, *, attempts: int = ATTEMPTS) -> dict[str, Any]:
        """The reply's body, which holds a choice; CallFailedError if none came within the bounds.

        `attempts` bounds the attempts that fail otherwise than by a rate limit.
        """
        if not self._asked:
            self._replied = time.monotonic()
        self._asked += 1
        try:
            return await self._post(data, _Progress(attempts))
        finally:
            self._asked -= 1

    async def _post(self, data: bytes, progress: _Progress) -> dict[str, Any]:
        try:
            return await self._attempt(data, progress)
        except CallFailedError as error:
            failures = [error]

        async def attempt() -> dict[str, Any]:
            # tenacity's bookkeeping costs half as much CPU as a request, so it begins with the first failure.
            if failures:
                raise failures.pop()
            return await self._attempt(data, progress)

        retrying = AsyncRetrying(
            retry=retry_if_exception(self._may_pass),
            stop=lambda state: _enough(state, progress),
            wait=_wait,
            reraise=True,
        )
        reply: dict[str, Any] = await retrying(attempt)
        return reply

    async def _attempt(self, data: bytes, progress: _Progress) -> dict[str, Any]:
        sent = await self.throttle.enter()
        progress.last = time.monotonic()
        progress.first = progress.first or progress.last
        try:
            async with self._session.post(
                self.url, data=data, headers=self._headers, allow_redirects=False
            ) as response:
                refuse_of_proxy(response)
                try:
                    content = await content_of(response)
                except BodyError as error:
                    response.close()  # the rest of it is not awaited
                    if response.status < 300:
                        passing = isinstance(error, BrokenBodyError)
                        raise NotAChatError(str(error), response.status, passing=passing) from error
                    content = str(error).encode()
        except (aiohttp.ClientError, TimeoutError, OSError, ValueError) as error:
            fault = fault_of(error)
            words = fault or f"{type(error).__name__}: {error}".removesuffix(": ")
            self._last = NoReplyError(words, advised=bool(fault))
            raise self._last from error
        finally:
            self.throttle.leave()
        headers = response.headers
        if self.throttle.adaptive:
            self.throttle.advised(quota(headers, "requests"), quota(headers, "tokens"))
        failure: CallFailedError | None = None
        if response.status >= 300:
            failure = StatusError(response.status, headers, body_of(content))
        else:
            reply = parsed(content, self._keys, response.status)
            failure = failure_in(reply, response.status)
        if failure is None:
            self._replied = time.monotonic()
            self.throttle.accepted(sent)
            return reply
        self._slow_down(failure, sent)
        raise failure

    def _may_pass(self, error: BaseException) -> bool:
        return isinstance(error, CallFailedError) and error.passing and (self.charged or not error.usage)

    async def _watch(self) -> None:
        """Log the wait whenever no reply has come for long."""
        said = 0.0
        while True:
            await asyncio.sleep(min(_LOOK, _SILENCE))
            now = time.monotonic()
            if self._asked and now - max(self._replied, said) > _SILENCE:
                said = now
                last = f" The last failure: {self._last}" if self._last else ""
                logger.warning("No reply has come for %.0f s from %s.%s", now - self._replied, self.name, last)

    def _slow_down(self, failure: CallFailedError, sent: float) -> None:
        self._last = failure
        if failure.after is not None:
            if not self.throttle.believes(failure.after):
                failure.after = None  # then as if it said nothing
            elif failure.passing:
                self.throttle.announce(failure.after, str(failure))
        if failure.busy:
            self.throttle.refused(sent, failure.after, str(failure))


async def content_of(response: aiohttp.ClientResponse) -> bytes:
    """The unpacked body of a reply; BodyError if it is too large or packed otherwise than was requested."""
    encoding = response.headers.get("Content-Encoding", "")
    if not encoding and response.content_length is not None and response.content_length <= MOST_BODY:
        return await response.read()
    unpacker = Unpacker(encoding)
    return b"".join([piece async for chunk in response.content.iter_any() for piece in unpacker.feed(chunk)])


def _enough(state: RetryCallState, progress: _Progress) -> bool:
    """Whether a call has been tried often or long enough; its wait before the first attempt is not counted."""
    error = state.outcome.exception() if state.outcome else None
    attempts = float(progress.attempts)
    if isinstance(error, CallFailedError) and error.busy:
        attempts = math.inf if error.loading else _ATTEMPTS_REFUSED
    next_attempt = time.monotonic() + state.upcoming_sleep
    return state.attempt_number >= attempts or next_attempt - (progress.first or next_attempt) > _PATIENCE


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, CallFailedError) and error.after is not None:
        return error.after + random.uniform(0, _JITTER)  # noqa: S311
    return BACKOFF(state)


def parsed(content: bytes, keys: frozenset[str], status: int = 200) -> dict[str, Any]:
    """The JSON object of a reply without `keys`; NotAChatError describes a body that holds no object."""
    try:
        value = redacted(_loaded(content), keys)
    except ValueError:
        text = content[:4000].decode(errors="replace").strip()
        if not text:
            words = "the body is empty"
        elif text.startswith(("data:", "event:", ":")):
            words = "an event stream came, which was not requested"
        elif text.startswith("{"):
            words = f"the JSON breaks off or is broken: {text[:80]}"
        else:
            words = words_of(text)
        raise NotAChatError(words, status) from None
    if not isinstance(value, dict):
        raise NotAChatError(f"no chat completion: {words_of(value)}", status)
    return value


def _loaded(content: bytes) -> Any:
    """The JSON in a body, also between the comments and the end of a stream of events; ValueError if none."""
    try:
        return load_json(content)
    except ValueError:
        lines = content.splitlines()
        for line in lines:  # of a stream, the error or the reply that one event holds
            with suppress(ValueError):
                event = load_json(line.removeprefix(b"data:")) if line.startswith(b"data:") else None
                if isinstance(event, dict) and (event.get("error") or failure_in(event, 200) is None):
                    return event
        rest = [line for line in lines if not line.startswith(b":") and line.strip() != b"data: [DONE]"]
        if len(rest) == len(lines):
            raise
        return load_json(b"\n".join(rest))
