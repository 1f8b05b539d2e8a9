"""Judges behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import datetime
import threading
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING, Any

import requests

from grading.backend import OnReply, Reply, VoteCall
from grading.errors import UserError
from grading.shutdown import check_shutdown

if TYPE_CHECKING:
    from grading.client import VoteClient
    from grading.judge import JudgeSpec

_CHECK_TIMEOUT = 15.0  # seconds


class OpenAIBackend:
    """Asks `spec.base_url`, with at most `concurrency` calls in flight."""

    def __init__(self, spec: JudgeSpec, *, api_key: str, concurrency: int) -> None:
        self._spec = spec
        self._api_key = api_key
        self._concurrency = concurrency
        self._calls: Iterable[VoteCall] = ()
        self._client: VoteClient | None = None
        # Parameters that the endpoint turned out not to take.
        self.refused: frozenset[str] = frozenset()

    def check(self) -> None:
        """Ask the endpoint for its models: free, and it tells a wrong address, key or model id apart.

        Warns if the model is shut down soon, by what the endpoint says of it or else by the spec.
        The package openai is not used, whose import takes a second of every start.
        """
        spec = self._spec
        try:
            response = requests.get(
                f"{spec.base_url.rstrip('/')}/models",
                headers={"Authorization": f"Bearer {self._api_key}"},
                timeout=_CHECK_TIMEOUT,
            )
        except requests.RequestException as error:
            raise UserError(
                f"The judge's endpoint {spec.base_url} cannot be reached ({type(error).__name__}): start it, or "
                "set SKILLMIX_JUDGE_BASE_URL to the right address."
            ) from error
        if response.status_code in (401, 403):
            variable = "OPENAI_API_KEY" if spec.endpoint == "openai" else "SKILLMIX_JUDGE_API_KEY"
            raise UserError(
                f"The judge's endpoint {spec.base_url} refused the key: set {variable} to a valid one."
            )
        if response.status_code >= 500 or response.status_code == 429:
            raise UserError(
                f"The judge's endpoint {spec.base_url} answers with status {response.status_code}: try again "
                "when it is up, or name another judge with SKILLMIX_JUDGE_MODEL and SKILLMIX_JUDGE_BASE_URL."
            )
        models = _model_cards(response)
        check_shutdown(spec.model, _shutdown(models.get(spec.model, {}), spec.shutdown))
        if models and spec.model not in models:
            shown = ", ".join(sorted(models)[:8]) + (", ..." if len(models) > 8 else "")
            raise UserError(
                f"The judge's endpoint {spec.base_url} does not serve the model {spec.model}: set "
                f"SKILLMIX_JUDGE_MODEL (or the setting `judge`) to one of {shown}."
            )

    def run(self, calls: Iterable[VoteCall], on_reply: OnReply) -> None:
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

        def receive(call: VoteCall, reply: Reply) -> None:
            self.refused = frozenset(client.refused)
            on_reply(call, reply)

        task = loop.create_task(client.run(chain([first], waiting), receive))

        def work() -> None:
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass  # the caller was interrupted and raises
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failure.append(error)
            finally:
                loop.close()

        thread = threading.Thread(target=work, name="judge-client", daemon=True)
        thread.start()
        try:
            thread.join()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            raise
        if failure:
            raise _first_of(failure[0])

    def _client_of(self, calls: Iterable[VoteCall]) -> VoteClient:
        """The client for `calls`; when the same ones come again, it still knows what it learned from the first."""
        from grading.client import VoteClient

        if self._client is None or calls is not self._calls:
            self._client = VoteClient(self._spec, api_key=self._api_key, concurrency=self._concurrency)
            self._client.refused |= self.refused
            self._calls = calls
        return self._client


def _first_of(failure: BaseException) -> BaseException:
    """What failed first: a task group wraps it, though its message is for the user as it is."""
    while isinstance(failure, BaseExceptionGroup):
        failure = failure.exceptions[0]
    return failure


def _model_cards(response: requests.Response) -> dict[str, dict[str, Any]]:
    """What the endpoint lists, by model id; nothing if it has no such route, which a server may lack."""
    if not response.ok:
        return {}
    try:
        return {str(model["id"]): dict(model) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return {}


def _shutdown(card: dict[str, Any], known: datetime.date | None) -> datetime.date | None:
    """The day on which the model is shut down: what its card says counts more than what is `known`."""
    if "shutdown_date" not in card:
        return known
    try:
        return datetime.date.fromisoformat(card["shutdown_date"])
    except (TypeError, ValueError):  # null: no day was announced
        return None
