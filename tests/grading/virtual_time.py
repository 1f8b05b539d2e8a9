"""An event loop whose clock jumps to the next timer, so that minutes of waiting take milliseconds."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

T = TypeVar("T")


class _Loop(asyncio.SelectorEventLoop):
    def __init__(self) -> None:
        super().__init__()
        self._now = 0.0
        self._wait = self._selector.select  # type: ignore[attr-defined]
        self._selector.select = self._jump  # type: ignore[attr-defined]

    def _jump(self, timeout: float | None) -> Any:
        if timeout is None:
            raise RuntimeError("everybody waits, and nobody for a time")
        self._now += max(0.0, timeout)
        return self._wait(0)

    def time(self) -> float:
        return self._now


def run_in_virtual_time(main: Coroutine[Any, Any, T]) -> T:
    loop = _Loop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()
