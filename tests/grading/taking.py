"""A sink that hands every reply to a function at once."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from grading.backend import Reply, VoteCall
from grading.verdict import Usage


@dataclass
class Taking:
    """For a backend that is tested without an asker."""

    keep: Callable[[VoteCall, Reply], None]

    @property
    def ended(self) -> bool:
        return False

    def again(self, call: VoteCall, usage: Usage) -> bool:
        return True

    def take(self, call: VoteCall, reply: Reply) -> None:
        self.keep(call, reply)

    def save(self) -> None:
        pass

    def read(self) -> bool:
        return False
