"""Replies that come one by one are saved many at a time, and read in idle time.

Waiting for the disk and reading cost the most: while a reply is read, no request leaves.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from grading.backend import Reply, Sink, VoteCall

_PAUSE = 0.003  # seconds without a reply, after which there is time to read
_BACKLOG = 1000  # replies that may wait for a pause
_MOST = 128  # groups saved at once, so that the first of many need not wait for the last


class Saver:
    """Hands replies to `sink` and saves them in a thread, all those that came meanwhile at once."""

    def __init__(self, sink: Sink) -> None:
        self._sink = sink
        self._waiting: list[Sequence[tuple[VoteCall, Reply]]] = []
        self._saved = 0  # how many of all that came
        self._came = 0
        self._busy = asyncio.Lock()
        self._unread = 0  # replies
        self._news = asyncio.Event()

    def keep(self, replies: Sequence[tuple[VoteCall, Reply]]) -> int:
        """Take replies that came together, which are saved all or none; their number, for `saved`."""
        self._waiting.append(replies)
        self._came += 1
        return self._came

    async def saved(self, number: int) -> None:
        """Return when the replies with that number are saved."""
        async with self._busy:
            while self._saved < number:  # unless those before have saved them
                await self._save_some()

    async def read(self) -> None:
        """Read saved replies, forever, whenever no new reply is arriving."""
        seen = 0
        while True:
            await self._news.wait()
            self._news.clear()
            while self._unread:
                if seen != self._came and self._unread < _BACKLOG:
                    seen = self._came
                    await asyncio.sleep(_PAUSE)
                    continue
                self._sink.read()
                self._unread -= 1
                await asyncio.sleep(0)

    async def _save_some(self) -> None:
        batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        for replies in batch:
            for one in replies:
                self._sink.take(*one)
        await asyncio.to_thread(self._sink.save)
        self._saved += len(batch)
        self._unread += sum(map(len, batch))
        self._news.set()
