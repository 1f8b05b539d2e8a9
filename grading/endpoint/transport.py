"""One HTTP client for a run: chat requests that a throttle lets out, and tried again by tenacity.

aiohttp is used without the openai package above it: a request costs 0.5 ms of CPU instead of 4 to 5, and at
200 in flight that is what the pace hangs on. docs/benchmarks.md has the figures.
"""

from __future__ import annotations

import random
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self
from urllib.parse import urlsplit
from urllib.request import getproxies, proxy_bypass

import aiohttp
import certifi
from tenacity import AsyncRetrying, RetryCallState, retry_if_exception

from grading.endpoint.bodies import ACCEPTED, MOST_BODY, BodyError, Unpacker
from grading.endpoint.rate_headers import ATTEMPTS, BACKOFF, may_pass, quota, retry_after
from grading.endpoint.throttle import Throttle
from grading.keys import known_keys, redact, redacted
from grading.safety.bounds import load_json

_ATTEMPTS_REFUSED = 10  # at one call that is refused for being one too many: limits are counted by the minute
_PATIENCE = 600.0  # seconds after the first attempt in which a further one may begin
_TIMEOUT = 180.0  # seconds for one attempt; a reasoning judge needs them
_CONNECT_TIMEOUT = 15.0
_JITTER = 0.25  # seconds by which those that were told the same Retry-After are spread
_BUSY = frozenset({429, 503})


class CallFailedError(Exception):
    """An attempt that brought no reply: `passing` if a later one can."""

    passing = True
    after: float | None = None  # seconds, as the endpoint said


class NoReplyError(CallFailedError):
    """The connection failed, broke off or timed out, or what came over it was not JSON."""


class UnfitReplyError(CallFailedError):
    """The reply is too large, or packed in a way that was not asked for: another one would be no better."""

    passing = False


class StatusError(CallFailedError):
    """The endpoint answered with an error; `error` is what it says, as far as it says it in JSON."""

    def __init__(self, status: int, headers: Mapping[str, str], body: bytes) -> None:
        self.status = status
        self.after = retry_after(headers)
        self.error = _error(body)
        if status < 400:  # followed, it would carry prompts to an address that the user has not named
            elsewhere = redact(headers.get("Location", "another address"))
            self.error = {"message": f"the endpoint sends requests to {elsewhere}, and prompts are not sent on"}
        self.busy = status in _BUSY and not self._quota_is_spent()
        self.passing = self.busy or (may_pass(status) and not self._quota_is_spent())
        super().__init__(f"status {status}: {self.message}")

    @property
    def message(self) -> str:
        """The endpoint's own words."""
        return str(self.error.get("message") or "")

    def _quota_is_spent(self) -> bool:
        # An account without money answers 429 too, and no waiting helps.
        return "insufficient_quota" in (self.error.get("code"), self.error.get("type"))


@dataclass
class _Progress:
    """Of one call: when its first and its last attempt left."""

    first: float | None = None
    last: float = 0.0


class Transport:
    """Sends chat requests to `url` as `throttle` lets them out; use as an async context manager.

    An attempt ends after `timeout` seconds. Without `verify` the endpoint's certificate is not checked.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str],
        throttle: Throttle,
        *,
        timeout: float = _TIMEOUT,
        verify: bool = True,
    ) -> None:
        self._url = url
        self._headers = dict(headers)
        self._keys = known_keys()
        self.throttle = throttle
        self._timeout = timeout
        self._verify = verify

    async def __aenter__(self) -> Self:
        self.throttle.open()
        self._session = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(
                limit=self.throttle.bound, ssl=_trusted(self._url) if self._verify else False
            ),
            timeout=aiohttp.ClientTimeout(total=self._timeout, sock_connect=_CONNECT_TIMEOUT),
            headers={**self._headers, "Content-Type": "application/json", "Accept-Encoding": ACCEPTED},
            auto_decompress=False,
            proxy=_proxy(self._url),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._session.close()

    async def post(self, data: bytes) -> dict[str, Any]:
        """The reply's body, a parsed JSON object; CallFailedError if none came, within the bounds."""
        progress = _Progress()
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
            retry=retry_if_exception(_may_pass),
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
            async with self._session.post(self._url, data=data, allow_redirects=False) as response:
                try:
                    content = await _body(response)
                except BodyError as error:
                    response.close()  # what is left of it is not waited for
                    if response.status < 300:
                        raise UnfitReplyError(str(error)) from error
                    content = str(error).encode()
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise NoReplyError(redact(f"{type(error).__name__}: {error}")) from error
        finally:
            self.throttle.leave()
        headers = response.headers
        if self.throttle.adaptive:
            self.throttle.advised(quota(headers, "requests"), quota(headers, "tokens"))
        if response.status >= 300:
            failure = StatusError(response.status, headers, content)
            if failure.after is not None:
                if not self.throttle.believes(failure.after):
                    failure.after = None  # then as if it said nothing
                elif failure.passing:
                    self.throttle.announce(failure.after)
            if failure.busy:
                self.throttle.refused(sent, failure.after)
            raise failure
        self.throttle.accepted(sent)
        reply = _json_object(content, self._keys)
        if reply is None:
            raise NoReplyError("the reply is not a JSON object")
        return reply


async def _body(response: aiohttp.ClientResponse) -> bytes:
    encoding = response.headers.get("Content-Encoding", "")
    if not encoding and response.content_length is not None and response.content_length <= MOST_BODY:
        return await response.read()
    unpacker = Unpacker(encoding)
    return b"".join([piece async for chunk in response.content.iter_any() for piece in unpacker.feed(chunk)])


def _may_pass(error: BaseException) -> bool:
    return isinstance(error, CallFailedError) and error.passing


def _enough(state: RetryCallState, progress: _Progress) -> bool:
    """Whether a call has been tried often or long enough; what it waited for at first is not counted."""
    error = state.outcome.exception() if state.outcome else None
    attempts = _ATTEMPTS_REFUSED if isinstance(error, StatusError) and error.busy else ATTEMPTS
    next_attempt = time.monotonic() + state.upcoming_sleep
    return state.attempt_number >= attempts or next_attempt - (progress.first or next_attempt) > _PATIENCE


def _wait(state: RetryCallState) -> float:
    error = state.outcome.exception() if state.outcome else None
    if isinstance(error, CallFailedError) and error.after is not None:
        return error.after + random.uniform(0, _JITTER)  # noqa: S311
    return BACKOFF(state)


def _error(body: bytes) -> dict[str, Any]:
    """The `error` object of a body; with the body's beginning as message where there is none."""
    content = _json_object(body, known_keys())
    error = content.get("error", content) if content else None
    return error if isinstance(error, dict) else {"message": redact(body.decode(errors="replace"))[:300]}


def _json_object(content: bytes, keys: frozenset[str]) -> dict[str, Any] | None:
    """The object without `keys`; None if it is none, or too deep."""
    try:
        value = redacted(load_json(content), keys)
    except ValueError:
        return None
    return value if isinstance(value, dict) else None


def _proxy(url: str) -> str | None:
    """The environment's proxy for `url`; aiohttp's own `trust_env` would look into ~/.netrc at each request."""
    parts = urlsplit(url)
    return None if proxy_bypass(parts.hostname or "") else getproxies().get(parts.scheme)


def _trusted(url: str) -> ssl.SSLContext | bool:
    """The system's certificates and certifi's, since some Pythons come without any."""
    if urlsplit(url).scheme != "https":
        return True  # not used, and making a context takes time
    context = ssl.create_default_context()
    context.load_verify_locations(certifi.where())
    return context
