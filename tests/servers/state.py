"""What a running server remembers: its behaviour, its counts and its log."""

from __future__ import annotations

import asyncio
import time
from collections import Counter, deque
from dataclasses import dataclass, field, replace
from typing import Any

from tests.servers.batches import Kept
from tests.servers.behaviour import ROLES, Behaviour, Counts, Entry, Scripted
from tests.servers.draw import digest
from tests.servers.faults import chosen_fault


class Dropped(Exception):  # noqa: N818 - a way out, not an error
    """The connection is to be closed without a reply."""


@dataclass
class State:
    """Everything between two resets. A request keeps the state it arrived in: a reset sees no stragglers."""

    behaviour: Behaviour = field(default_factory=Behaviour)
    counts: Counts = field(default_factory=Counts)
    log: list[Entry] = field(default_factory=list)
    attempts: Counter[str] = field(default_factory=Counter)
    scripts: dict[str, deque[Scripted]] = field(default_factory=dict)
    cache: set[str] = field(default_factory=set)
    batches: Kept = field(default_factory=Kept)
    batch_script: deque[str | None] = field(default_factory=deque)
    batch_lose: deque[str] = field(default_factory=deque)
    batch_files: deque[str | None] = field(default_factory=deque)
    batch_odd: deque[str] = field(default_factory=deque)
    started: float = field(default_factory=time.monotonic)
    admitted: int = 0  # judge replies since `hold_after` was set
    released: asyncio.Event = field(default_factory=asyncio.Event)
    ended: asyncio.Event = field(default_factory=asyncio.Event)

    def change(self, changes: dict[str, Any]) -> None:
        self.behaviour = replace(self.behaviour, **changes)
        for name in {"script", "judge_script", "student_script"} & set(changes):
            self.scripts[name] = deque(changes[name])
        for name in {"batch_script", "batch_lose", "batch_files", "batch_odd"} & set(changes):
            setattr(self, name, deque(changes[name]))
        if "hold_after" in changes:
            self.admitted = 0
            self.released.set()  # those who wait look again
            self.released = asyncio.Event()

    def now(self) -> int:
        """The time as the API writes it: whole seconds since 1970."""
        return int(time.time())

    def end(self) -> None:
        self.ended.set()
        self.released.set()

    def arrive(self, role: str, body: dict[str, Any]) -> Entry:
        name = digest(body)
        self.attempts[name] += 1
        seconds = time.monotonic() - self.started
        entry = Entry(len(self.log), seconds, role, self.attempts[name], body)
        self.log.append(entry)
        counts = self.counts
        counts.received[role] += 1
        counts.in_flight[role] += 1
        for who, now in ((role, counts.in_flight[role]), ("all", sum(counts.in_flight[r] for r in ROLES))):
            counts.in_flight_max[who] = max(counts.in_flight_max.get(who, 0), now)
        return entry

    async def hold(self) -> None:
        """Wait while the judge has given as many replies as `hold_after` allows."""
        while self.behaviour.hold_after is not None and self.admitted >= self.behaviour.hold_after:
            self.counts.held += 1
            try:
                await self.released.wait()
            finally:
                self.counts.held -= 1
            if self.ended.is_set():
                raise Dropped

    def next_fault(self, entry: Entry) -> tuple[str | None, dict[str, Any] | None]:
        """The fault that strikes a request, or the message that a script sets for it."""
        for name in ("script", f"{entry.role}_script"):
            if self.scripts.get(name):
                scripted = self.scripts[name].popleft()
                return (None, scripted) if isinstance(scripted, dict) else (scripted, None)
        told = self.behaviour
        if told.fault_attempts is not None and entry.attempt > told.fault_attempts:
            return None, None
        attempt = 1 if told.fault_lasts else entry.attempt
        return chosen_fault(told.faults(entry.role), told.fault_seed, entry.body, attempt), None
