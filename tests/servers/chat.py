"""A chat server for tests: real HTTP, in a process of its own, that plays student and judge.

    with ChatServer(earn=1.0, judge_faults={"429": 0.2}) as server:
        client = OpenAI(base_url=server.base_url, api_key="test", max_retries=0)
        ...
        server.set(hold_after=3)
        server.wait(lambda counts: counts.held == 1)

What can be set stands in tests.servers.behaviour, the faults' names in tests.servers.faults.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from tests.servers.behaviour import Behaviour, Counts, Entry
from tests.servers.judge import expected_marks, vote_seed
from tests.servers.process import ServerProcess
from tests.servers.student import student_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Behaviour", "ChatServer", "Counts", "Entry", "expected_marks", "student_text", "vote_seed"]


class ChatServer(ServerProcess):
    """One server; `behaviour` (fields of Behaviour) is what it starts with and what `reset` goes back to."""

    module = "tests.servers.app"

    def __init__(self, **behaviour: Any) -> None:
        Behaviour(**behaviour)  # a wrong field is reported where it is written
        super().__init__()
        self._behaviour = behaviour

    @property
    def base_url(self) -> str:
        """What the openai client is given."""
        return f"http://127.0.0.1:{self.port}/v1"

    @property
    def url(self) -> str:
        """What lm-eval's local-chat-completions is given."""
        return f"{self.base_url}/chat/completions"

    def set(self, **behaviour: Any) -> None:
        """Change the named fields of Behaviour; the others stay as they are."""
        self._control("POST", "/control", behaviour)

    def release(self) -> None:
        """Let the judge requests go on that `hold_after` holds, and hold no more."""
        self.set(hold_after=None)

    def reset(self) -> None:
        """Forget all requests, drop those in flight, and behave as at the start."""
        self._control("POST", "/control/reset", self._behaviour)

    def counts(self) -> Counts:
        return Counts(**self._control("GET", "/control/counts"))

    def log(self, role: str | None = None) -> list[Entry]:
        """The chat requests in order of arrival, or those of one role."""
        entries = [Entry(**entry) for entry in self._control("GET", "/control/log")]
        return [entry for entry in entries if role in (None, entry.role)]

    def wait(self, condition: Callable[[Counts], bool], timeout: float = 60.0) -> Counts:
        """Wait until the counts meet a condition, and return them."""
        deadline = time.monotonic() + timeout
        while not condition(counts := self.counts()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the chat server did not get there in {timeout} s: {counts}")
            time.sleep(0.01)
        return counts
