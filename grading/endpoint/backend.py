"""Judges behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import datetime
import io
import threading
import time
from collections.abc import Iterable, Iterator
from itertools import chain
from typing import TYPE_CHECKING, Any

import requests
import urllib3
from tenacity import Retrying, retry_if_exception_type, retry_if_result, stop_after_attempt, wait_exponential

from grading.backend import Sink, VoteCall
from grading.endpoint.bodies import ACCEPTED, BodyError, unpacked
from grading.endpoint.chat import Dialect
from grading.endpoint.throttle import Throttle
from grading.errors import UserError
from grading.keys import redact, redacted
from grading.models.shutdown import check_shutdown
from grading.safety.bounds import load_json

if TYPE_CHECKING:
    from grading.endpoint.client import VoteClient
    from grading.models.spec import ModelSpec

_CHECK_TIMEOUT = 15.0  # seconds until something comes
_CHECK_LONGEST = 60.0  # seconds until all has come
_CHECK_ATTEMPTS = 3


class OpenAIBackend:
    """Asks `spec.base_url`, at most `concurrency` requests at a time, and fewer if `adaptive` finds a limit."""

    def __init__(self, spec: ModelSpec, *, api_key: str, concurrency: int, adaptive: bool) -> None:
        self._spec = spec
        self._api_key = api_key
        self._throttle = Throttle(concurrency, adaptive=adaptive)
        self._dialect = Dialect(spec)
        self._calls: Iterable[VoteCall] = ()
        self._client: VoteClient | None = None

    @property
    def refused(self) -> frozenset[str]:
        """The parameters that the endpoint turned out not to take."""
        return frozenset(self._dialect.refused - {"n"})  # by which votes are fetched, and which changes none

    def check(self) -> None:
        """Ask the endpoint for its models: free, and it finds a wrong address, key or model id.

        A server without that route is sent a chat without messages, which it refuses if it has chats at all.
        Warns if the model is shut down soon, by what the endpoint says of it or else by the spec.
        The package openai is not used, whose import takes a second of every start.
        """
        spec = self._spec
        models = _model_cards(self.ask("GET", "models"))
        check_shutdown(spec.model, _shutdown((models or {}).get(spec.model, {}), spec.shutdown))
        if models is None:
            response = self.ask("POST", "chat/completions")
            if response.is_redirect:
                raise UserError(
                    f"The {spec.role}'s endpoint {spec.base_url} sends requests to "
                    f"{redact(response.headers['Location'])}, and prompts are not sent on: set "
                    f"{spec.variable('BASE_URL')} to the right address."
                )
            if response.status_code in (404, 405) or "html" in response.headers.get("Content-Type", ""):
                raise UserError(
                    f"The {spec.role}'s endpoint {spec.base_url} has no chat completions (status "
                    f"{response.status_code}): the address usually ends in /v1; set {spec.variable('BASE_URL')}."
                )
        elif models and spec.model not in models:
            shown = ", ".join(sorted(models)[:8]) + (", ..." if len(models) > 8 else "")
            raise UserError(
                f"The {spec.role}'s endpoint {spec.base_url} does not serve the model {spec.model}: set "
                f"{spec.variable('MODEL')} (or the setting `{spec.role}`) to one of {shown}."
            )

    def ask(self, method: str, route: str) -> requests.Response:
        """The endpoint's reply to a request that costs nothing; UserError if it is down or refuses the key."""
        spec = self._spec
        # Not by the retries of urllib3, which read what a failure says to its end, wherever that is.
        tries = Retrying(
            retry=retry_if_exception_type(requests.RequestException)
            | retry_if_result(lambda response: response.status_code in (429, 502, 503, 504)),
            stop=stop_after_attempt(_CHECK_ATTEMPTS),
            wait=wait_exponential(multiplier=0.3),
            retry_error_callback=lambda state: state.outcome and state.outcome.result(),
        )
        try:
            response: requests.Response = tries(self._ask_once, method, route)
        except (requests.RequestException, BodyError) as error:
            reason = str(error) if isinstance(error, BodyError) else type(error).__name__
            raise UserError(
                f"The {spec.role}'s endpoint {spec.base_url} cannot be reached ({reason}): start "
                f"it, or set {spec.variable('BASE_URL')} to the right address."
            ) from error
        if response.status_code in (401, 403):
            variable = "OPENAI_API_KEY" if spec.endpoint == "openai" else spec.variable("API_KEY")
            raise UserError(
                f"The {spec.role}'s endpoint {spec.base_url} refused the key: set {variable} to a valid one."
            )
        if response.status_code in (429, 500, 502, 503, 504) and method == "GET":
            raise UserError(
                f"The {spec.role}'s endpoint {spec.base_url} answers with status {response.status_code}: try "
                f"again when it is up, or name another {spec.role} with {spec.variable('MODEL')} and "
                f"{spec.variable('BASE_URL')}."
            )
        return response

    def _ask_once(self, method: str, route: str) -> requests.Response:
        with requests.Session() as session:
            response = session.request(
                method,
                self._spec.url(route),
                headers={"Authorization": f"Bearer {self._api_key}", "Accept-Encoding": ACCEPTED},
                json=None if method == "GET" else {"model": self._spec.model, "messages": [], "max_tokens": 1},
                timeout=_CHECK_TIMEOUT,
                allow_redirects=False,  # they would carry the key elsewhere
                stream=True,
            )
            response.raw = io.BytesIO(_body(response))
        return response

    def run(self, calls: Iterable[VoteCall], sink: Sink) -> None:
        """Answer all calls in a thread of its own, so that a caller's running event loop is no obstacle.

        Each call is taken from `calls` when there is a free place in flight.
        """
        waiting = iter(calls)
        first = next(waiting, None)
        if first is None:
            return
        failure: list[BaseException] = []
        loop = asyncio.new_event_loop()
        client = self._client_of(calls)
        task = loop.create_task(client.run(chain([first], waiting), sink))

        def work() -> None:
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass  # the caller was interrupted and raises
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failure.append(error)
            finally:
                loop.run_until_complete(loop.shutdown_default_executor())  # it may be saving
                loop.close()

        thread = threading.Thread(target=work, name="judge-client", daemon=True)
        thread.start()
        try:
            thread.join()
        except KeyboardInterrupt:
            if not loop.is_closed():
                loop.call_soon_threadsafe(task.cancel)
            thread.join()
            raise
        if failure:
            raise _cause(failure[0])

    def _client_of(self, calls: Iterable[VoteCall]) -> VoteClient:
        """The client for `calls`; when the same ones come again, it still knows what it learned from the first."""
        from grading.endpoint.client import VoteClient

        if self._client is None or calls is not self._calls:
            self._client = VoteClient(self._spec, self._dialect, self._throttle, api_key=self._api_key)
            self._calls = calls
        return self._client


def _body(response: requests.Response) -> bytes:
    """The body of a reply that is being read; of an error that is too large nothing."""

    def chunks() -> Iterator[bytes]:
        deadline = time.monotonic() + _CHECK_LONGEST
        for chunk in response.raw.stream(2**16, decode_content=False):
            if time.monotonic() > deadline:
                raise BodyError(f"the reply does not end within {_CHECK_LONGEST:.0f} seconds")
            yield chunk

    try:
        return b"".join(unpacked(chunks(), response.headers.get("Content-Encoding", "")))
    except BodyError:
        if response.status_code < 400:
            raise
        return b""
    except (urllib3.exceptions.HTTPError, OSError) as error:
        raise requests.ConnectionError(error) from error


def _model_cards(response: requests.Response) -> dict[str, dict[str, Any]] | None:
    """What the endpoint lists, by model id; None if it has no such list."""
    try:
        cards = redacted(load_json(response.content))["data"] if response.ok else None
        return None if cards is None else {str(model["id"]): dict(model) for model in cards}
    except (ValueError, KeyError, TypeError):
        return None


def _shutdown(card: dict[str, Any], known: datetime.date | None) -> datetime.date | None:
    """The day on which the model is shut down: what its card says counts more than what is `known`."""
    if "shutdown_date" not in card:
        return known
    try:
        return datetime.date.fromisoformat(card["shutdown_date"])
    except (TypeError, ValueError):  # null: no day was announced
        return None


def _cause(error: BaseException) -> BaseException:
    """What went wrong, out of the group in which the client's tasks wrapped it; a UserError first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, UserError)), causes[0])
