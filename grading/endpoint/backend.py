"""Judges behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Generator, Iterator
from itertools import chain
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from grading.backend import Calls, Group, Reply, VoteCall
from grading.endpoint.dialect import Dialect
from grading.endpoint.throttle import Throttle
from grading.errors import UserError
from grading.models.spec import ModelSpec

if TYPE_CHECKING:
    from grading.endpoint.client import VoteClient

_PAUSE = 0.003  # seconds without a reply, after which there is time to read
_BACKLOG = 1000  # replies that may wait for a pause
_MOST = 128  # groups handed on at once, so that the first of many need not wait for the last


class OpenAIBackend:
    """Asks `spec.base_url`, at most `concurrency` requests at a time, and fewer if `adaptive` finds a limit."""

    def __init__(self, spec: ModelSpec, *, api_key: str, concurrency: int, adaptive: bool) -> None:
        self._spec = spec
        self._api_key = api_key
        self._throttle = Throttle(concurrency, adaptive=adaptive)
        self._dialect = Dialect(spec)
        self._client: VoteClient | None = None

    def check(self) -> None:
        """Raise UserError, in one sentence, if the endpoint does not answer for the model; see check_endpoint."""
        from grading.endpoint.check import check_endpoint

        check_endpoint(self._spec, self._api_key)
        self._client = None  # the failure that ended an earlier run may have passed

    def replies(self, calls: Calls) -> Generator[Group]:
        """The reply to every call. Each call is taken from `calls` when there is a free place in flight."""
        waiting = iter(calls)
        first = next(waiting, None)
        if first is None:
            return
        from grading.endpoint.client import VoteClient

        if self._client is None:
            self._client = VoteClient(self._spec, self._dialect, self._throttle, api_key=self._api_key)
        running = _Running(self._client, calls, chain([first], waiting))
        unread = 0
        try:
            while (group := running.next(_PAUSE if unread else None)) is not None:
                yield group
                running.release()
                unread += len(group) or -min(unread, 1)
                if unread > _BACKLOG:
                    unread -= 1
                    yield ()
        finally:
            running.stop()


class _Running:
    """A client at work in a thread of its own, so that the caller may have a running event loop."""

    def __init__(self, client: VoteClient, calls: Calls, waiting: Iterator[VoteCall]) -> None:
        self._came: SimpleQueue[tuple[Group, asyncio.Future[None]] | None] = SimpleQueue()
        self._handed: list[asyncio.Future[None]] = []
        self._failure: BaseException | None = None
        self._loop = asyncio.new_event_loop()
        self._task = self._loop.create_task(client.run(calls, waiting, self._hand))
        self._thread = threading.Thread(target=self._work, name="judge-client", daemon=True)
        self._thread.start()

    def next(self, timeout: float | None) -> Group | None:
        """The replies that came meanwhile; empty after `timeout` seconds without any, None at the end."""
        try:
            came = self._came.get(timeout=timeout)
        except Empty:
            return ()
        group: list[tuple[VoteCall, Reply]] = []
        while came is not None:
            group += came[0]
            self._handed.append(came[1])
            if len(self._handed) >= _MOST or self._came.empty():
                return group
            came = self._came.get()
        if group:
            self._came.put(None)
            return group
        if self._failure:
            raise _cause(self._failure)
        return None

    def release(self) -> None:
        """Let those go on that wait for the replies so far to be on disk."""
        if handed := self._handed:
            self._handed = []
            self._loop.call_soon_threadsafe(lambda: self._loop.create_task(_resolve(handed)))

    def stop(self) -> None:
        """End the work, if it has not ended."""
        self._loop.call_soon_threadsafe(self._task.cancel)
        self._thread.join()
        self._loop.close()  # not before: a closed loop takes no calls from this thread

    def _hand(self, group: Group) -> asyncio.Future[None]:
        saved = self._loop.create_future()
        self._came.put((group, saved))
        return saved

    def _work(self) -> None:
        try:
            self._loop.run_until_complete(self._task)
        except asyncio.CancelledError:
            pass  # the caller was interrupted
        except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
            self._failure = error
        finally:
            self._came.put(None)


async def _resolve(handed: list[asyncio.Future[None]]) -> None:
    for saved in handed:
        if not saved.done():
            saved.set_result(None)
        await asyncio.sleep(0)  # those that leave together would come back together


def _cause(error: BaseException) -> BaseException:
    """The error inside the exception group of the client's tasks; a UserError first."""
    if not isinstance(error, BaseExceptionGroup):
        return error
    causes = [_cause(inner) for inner in error.exceptions]
    return next((cause for cause in causes if isinstance(cause, UserError)), causes[0])
