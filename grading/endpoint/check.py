"""The check before a run: whether the endpoint answers for the model, by its list of models or by a chat.

It refuses only what the endpoint itself refuses. Lists of models name aliases, wildcards, deployments or
only their first page, so a model that is not listed gets a request.
"""

from __future__ import annotations

import asyncio
import datetime
import logging
import threading
import time
from collections.abc import Mapping
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any

import aiohttp

from grading.endpoint.bodies import ACCEPTED, BodyError
from grading.endpoint.chat import failure_in
from grading.endpoint.client import request_headers
from grading.endpoint.errors import CallFailedError, NotAChatError, StatusError, body_of
from grading.endpoint.route import fault_of, proxy_of, refuse_of_proxy, trusted
from grading.endpoint.transport import content_of, parsed
from grading.errors import UserError
from grading.failure import Cause
from grading.keys import known_keys
from grading.models.spec import ModelSpec

_TIMEOUT = 15.0  # seconds until something comes
_LONGEST = 60.0  # seconds until all has come
_ATTEMPTS = 3
_PAUSE = 0.3  # seconds after the first attempt; twice as long after the next
_LOADING = 600.0  # seconds for which a server may load its model
_SILENCE = 45.0  # seconds until the wait is logged again
WARN_DAYS = 60
_REFUSED = {
    Cause.KEY: "refused the key",
    Cause.CREDITS: "refuses requests",
    Cause.REGION: "refuses requests",
    Cause.NO_CHAT: "has no chat completions",
}

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class Response:
    """A reply that was read to its end."""

    status: int
    headers: Mapping[str, str]  # in which names have no case
    content: bytes

    @property
    def ok(self) -> bool:
        return 200 <= self.status < 300


def check_endpoint(spec: ModelSpec, api_key: str) -> None:
    """Raise UserError, in one sentence, if the endpoint does not serve `spec`; costs at most one token.

    Warns if the model is shut down soon, by the endpoint's own date or else by the spec's.
    """
    cards = _model_cards(request(spec, api_key, "models"))
    known = _card(cards, spec.model) if cards else None
    check_shutdown(spec.model, _shutdown(known or {}, spec.shutdown))
    if known is not None:
        return
    body = {"model": spec.model, "messages": [{"role": "user", "content": "Say yes."}], "max_tokens": 1}
    response = request(spec, api_key, "chat/completions", body)
    failure = _failure(response)
    if failure is None:
        return
    if isinstance(failure, NotAChatError):
        raise UserError(
            f"The {spec.role}'s endpoint {spec.base_url} returns no chat completions: its reply with status "
            f"{response.status} says {failure.failure.words!r}. The address usually ends in /v1: correct "
            f"{spec.option('BASE_URL')}."
        )
    if isinstance(failure, StatusError):
        _refuse(spec, failure, cards)


def _refuse(spec: ModelSpec, failure: StatusError, cards: dict[str, dict[str, Any]] | None) -> None:
    """Raise UserError for a failure that the run would meet, too."""
    where, cause = f"The {spec.role}'s endpoint {spec.base_url}", failure.failure.cause
    said = f" ({failure.failure})" if failure.failure.words else f" (status {failure.status})"
    if failure.of_plain_http:
        secure = spec.base_url.replace("http://", "https://", 1)
        raise UserError(f"{where} speaks https{said}: set {spec.option('BASE_URL')} to {secure}.")
    if 300 <= failure.status < 400:
        raise UserError(f"{where}: {failure.failure.words}: set {spec.option('BASE_URL')} to the right address.")
    if cause is Cause.MODEL:
        shown = ", ".join(sorted(cards or {})[:8]) + (", ..." if len(cards or {}) > 8 else "")
        raise UserError(
            f"{where} does not serve the model {spec.model}{said}: set {spec.option('MODEL')} "
            f"to {f'one of {shown}' if shown else 'one that it serves'}."
        )
    if cause in _REFUSED:
        raise UserError(f"{where} {_REFUSED[cause]}{said}: {spec.remedy(cause)}.")
    if cause is Cause.SERVER or (cause is Cause.BUSY and failure.status >= 500):
        raise UserError(
            f"{where} answers with status {failure.status}{said}: try again when it is up, or name another "
            f"{spec.role} with {spec.option('MODEL')} and {spec.option('BASE_URL')}."
        )
    logger.info("%s answered a request for one token with %s: the run starts anyway.", where, failure.failure)


def request(spec: ModelSpec, api_key: str, route: str, body: dict[str, Any] | None = None) -> Response:
    """The endpoint's reply to GET or, with a `body`, to POST, after retries; UserError if the address is silent.

    The same client, proxy and certificates serve the run. The caller may have a running event loop.
    """
    outcome: Future[Response] = Future()

    def ask() -> None:
        try:
            outcome.set_result(asyncio.run(_ask(spec, api_key, route, body)))
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            outcome.set_exception(error)

    threading.Thread(target=ask, name="endpoint-check", daemon=True).start()
    try:
        return outcome.result()
    except (aiohttp.ClientError, TimeoutError, OSError, BodyError) as error:
        raise UserError(_unreached(spec, error)) from error


async def _ask(spec: ModelSpec, api_key: str, route: str, body: dict[str, Any] | None) -> Response:
    url = spec.url(route)
    headers = {**request_headers(spec, api_key), "Accept-Encoding": ACCEPTED}  # not the session's: see Transport
    async with aiohttp.ClientSession(
        connector=aiohttp.TCPConnector(ssl=trusted(url)),
        timeout=aiohttp.ClientTimeout(total=_LONGEST, sock_connect=_TIMEOUT, sock_read=_TIMEOUT),
        auto_decompress=False,
        proxy=proxy_of(url),
    ) as session:
        began, said, attempts = time.monotonic(), -_SILENCE, 0
        while True:
            attempts += 1
            try:
                response = await _ask_once(session, url, headers, body)
                failure, waited = _failure(response), time.monotonic() - began
                if failure and failure.loading and body and waited < _LOADING:
                    if waited - said >= _SILENCE:
                        said = waited
                        logger.warning(
                            "The %s's endpoint is loading its model (%s): waiting up to %.0f minutes.",
                            spec.role,
                            failure,
                            _LOADING / 60,
                        )
                elif attempts >= _ATTEMPTS or failure is None or not failure.passing:
                    return response
            except (aiohttp.ClientError, TimeoutError, OSError):
                if attempts >= _ATTEMPTS:
                    raise
            await asyncio.sleep(_PAUSE * 2 ** min(attempts - 1, 4))


async def _ask_once(
    session: aiohttp.ClientSession, url: str, headers: dict[str, str], body: dict[str, Any] | None
) -> Response:
    method = "POST" if body else "GET"
    async with session.request(method, url, json=body, headers=headers, allow_redirects=False) as response:
        refuse_of_proxy(response)
        try:
            content = await content_of(response)
        except (BodyError, aiohttp.ClientPayloadError):
            response.close()  # the rest of it is not awaited
            if response.status < 400 and body:
                raise
            content = b""  # an unreadable list counts as no list
        return Response(response.status, response.headers, content)


def _failure(response: Response) -> CallFailedError | None:
    """Why a reply is not a chat completion; None if it is one, or a list of models."""
    if not response.ok:
        return StatusError(response.status, response.headers, body_of(response.content))
    try:
        body = parsed(response.content, known_keys(), response.status)
    except NotAChatError as error:
        return error
    return None if isinstance(body.get("data"), list) else failure_in(body, response.status)


def _unreached(spec: ModelSpec, error: BaseException) -> str:
    where = f"The {spec.role}'s endpoint {spec.base_url}"
    if isinstance(error, aiohttp.ClientConnectorSSLError) or "WRONG_VERSION_NUMBER" in str(error):
        plain = spec.base_url.replace("https://", "http://", 1)
        return f"{where} does not speak https: set {spec.option('BASE_URL')} to {plain}."
    if fault := fault_of(error):
        return f"{where} cannot be reached: {fault}."
    reason = str(error) if isinstance(error, BodyError) else type(error).__name__
    if isinstance(error, TimeoutError):
        reason = "no reply in time"
    return (
        f"{where} cannot be reached ({reason}): start it, or set {spec.option('BASE_URL')} to the right address."
    )


def _model_cards(response: Response) -> dict[str, dict[str, Any]] | None:
    """The endpoint's list of models, by id; None if it has no such list."""
    body = body_of(response.content) if response.ok else None
    found = body.get("data", body.get("models")) if isinstance(body, dict) else body
    if not isinstance(found, list):
        return None
    cards = [one for one in found if isinstance(one, dict)]
    return {str(one.get("id") or one.get("name") or one.get("model")): one for one in cards}


def _card(cards: dict[str, dict[str, Any]], model: str) -> dict[str, Any] | None:
    """The card of `model`, also under the names that lists give it."""
    for name, card in cards.items():
        if model in (name, name.removeprefix("models/"), name.removesuffix(":latest")):
            return card
    return None


def check_shutdown(model: str, shutdown: datetime.date | None) -> None:
    """Warn if `model` is shut down in less than WARN_DAYS days; raise UserError if it was."""
    if shutdown is None:
        return
    days = (shutdown - datetime.date.today()).days
    if days < 0:
        raise UserError(
            f"The judge {model} was shut down on {shutdown}: name another one with SKILLMIX_JUDGE_MODEL or the "
            "setting `judge`; `skillmix judges` lists those that are known."
        )
    if days < WARN_DAYS:
        logger.warning(
            "The judge %s is shut down on %s, in %d days: after that it cannot judge, and scores of another "
            "judge are not comparable.",
            model,
            shutdown,
            days,
        )


def _shutdown(card: dict[str, Any], known: datetime.date | None) -> datetime.date | None:
    """The day on which the model is shut down: what its card says counts more than what is `known`."""
    if "shutdown_date" not in card:
        return known
    try:
        return datetime.date.fromisoformat(str(card["shutdown_date"])[:10])  # without the time of day
    except ValueError:  # null: no day was announced
        return None
