"""SIGTERM and Ctrl-C end a run after the step at hand, with a checkpoint."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from types import FrameType


@dataclass
class Stop:
    """Whether the run was asked to stop, and by which signal."""

    signal: int | None = None


@contextmanager
def stoppable() -> Iterator[Stop]:
    """Take SIGTERM and SIGINT as a request to stop; a second one of them ends the process at once."""
    stop = Stop()
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}

    def ask(number: int, _: FrameType | None) -> None:
        stop.signal = number
        for asked in before:
            signal.signal(asked, signal.SIG_DFL)

    for number in before:
        signal.signal(number, ask)
    try:
        yield stop
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
