"""Replies that come one by one are saved many at a time: what costs is waiting for the disk."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from grading.backend import OnReply, Reply, VoteCall

_MOST = 32  # saved at once, so that the first of many need not wait for the last


class Saver:
    """Hands replies to `on_reply` and has them saved in a thread, all those that came meanwhile at once."""

    def __init__(self, on_reply: OnReply, save: Callable[[], None]) -> None:
        self._on_reply = on_reply
        self._save = save
        self._waiting: list[Sequence[tuple[VoteCall, Reply]]] = []
        self._saved = 0  # how many of all that came
        self._came = 0
        self._busy = asyncio.Lock()

    async def keep(self, replies: Sequence[tuple[VoteCall, Reply]]) -> None:
        """Return when the replies, which came together, are saved: all of them or none."""
        self._waiting.append(replies)
        self._came += 1
        number = self._came
        async with self._busy:
            while self._saved < number:  # unless those before have saved them
                await self._save_some()

    async def _save_some(self) -> None:
        batch, self._waiting = self._waiting[:_MOST], self._waiting[_MOST:]
        for replies in batch:
            for one in replies:
                self._on_reply(*one)
        await asyncio.to_thread(self._save)
        self._saved += len(batch)
