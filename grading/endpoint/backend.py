"""Judges behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from itertools import chain
from typing import TYPE_CHECKING

from grading.backend import Sink, VoteCall
from grading.endpoint.dialect import Dialect
from grading.endpoint.throttle import Throttle
from grading.errors import UserError

if TYPE_CHECKING:
    from grading.endpoint.client import VoteClient
    from grading.models.spec import ModelSpec


class OpenAIBackend:
    """Asks `spec.base_url`, at most `concurrency` requests at a time, and fewer if `adaptive` finds a limit."""

    def __init__(self, spec: ModelSpec, *, api_key: str, concurrency: int, adaptive: bool) -> None:
        self._spec = spec
        self._api_key = api_key
        self._throttle = Throttle(concurrency, adaptive=adaptive)
        self._dialect = Dialect(spec)
        self._calls: Iterable[VoteCall] = ()
        self._client: VoteClient | None = None

    def check(self) -> None:
        """Raise UserError, in one sentence, if the endpoint does not answer for the model; see check_endpoint."""
        from grading.endpoint.check import check_endpoint

        check_endpoint(self._spec, self._api_key)
        self._client = None  # the failure that ended an earlier run may have passed

    def run(self, calls: Iterable[VoteCall], sink: Sink) -> None:
        """Answer all calls in a thread of its own, so that the caller may have a running event loop.

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
        """The client, which knows what it learned from earlier calls; their failures do not count for new ones."""
        from grading.endpoint.client import VoteClient

        if self._client is None:
            self._client = VoteClient(self._spec, self._dialect, self._throttle, api_key=self._api_key)
        if calls is not self._calls:
            self._client.begin()
            self._calls = calls
        return self._client


def _cause(error: BaseException) -> BaseException:
    """The error inside the exception group of the client's tasks; a UserError first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, UserError)), causes[0])
