"""Calls to a backend that is tested without an asker."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from grading.backend import Backend, Reply, VoteCall
from grading.verdict import Usage


@dataclass
class Unbounded:
    """Calls without a budget."""

    calls: Sequence[VoteCall]
    ended: bool = False

    def __iter__(self) -> Iterator[VoteCall]:
        return iter(self.calls)

    def charge(self, call: VoteCall, usage: Usage) -> bool:
        return True


def replies_of(backend: Backend, calls: Sequence[VoteCall]) -> list[tuple[VoteCall, Reply]]:
    """All replies, in the order in which they came."""
    return [one for group in backend.replies(Unbounded(calls)) for one in group]
