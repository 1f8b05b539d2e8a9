"""A chat server for tests: real HTTP, in a process of its own, that plays student and judge.

    with ChatServer(earn=1.0, judge_faults={"429": 0.2}) as server:
        client = OpenAI(base_url=server.base_url, api_key="test", max_retries=0)
        ...
        server.set(hold_after=3)
        server.wait(lambda counts: counts.held == 1)

What can be set stands in tests.servers.behaviour, the faults' names in tests.servers.faults.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
import time
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any, Self

from tests.servers.behaviour import Behaviour, Counts, Entry
from tests.servers.judge import expected_marks, vote_seed
from tests.servers.student import student_text

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["Behaviour", "ChatServer", "Counts", "Entry", "expected_marks", "student_text", "vote_seed"]

_ROOT = Path(__file__).parents[2]
_START_S = 60.0
_STOP_S = 5.0


class ChatServer:
    """One server; `behaviour` (fields of Behaviour) is what it starts with and what `reset` goes back to."""

    def __init__(self, **behaviour: Any) -> None:
        Behaviour(**behaviour)  # a wrong field is reported where it is written
        self._behaviour = behaviour
        self._process: subprocess.Popen[str] | None = None
        self.port = 0

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *_: object) -> None:
        self.stop()

    def start(self) -> Self:
        """Start the process unless it runs, and wait until it accepts requests."""
        if self._process is not None and self._process.poll() is None:
            return self
        self.stop()
        # A session of its own keeps Ctrl-C for the tests' process; the pipe on its stdin ends it after them.
        self._process = process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.app"],
            cwd=_ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
        )
        assert process.stdout is not None
        deadline = threading.Timer(_START_S, process.kill)
        deadline.start()
        try:
            line = process.stdout.readline()
        finally:
            deadline.cancel()
        if not line:
            self.stop()
            raise RuntimeError("the chat server did not start; its reason is on stderr")
        self.port = json.loads(line)["port"]
        self.reset()
        return self

    def stop(self) -> None:
        """End the process, whatever it is doing."""
        process, self._process = self._process, None
        if process is None:
            return
        process.terminate()
        try:
            process.wait(_STOP_S)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                pipe.close()

    @property
    def pid(self) -> int | None:
        """The process's id while it runs."""
        return self._process.pid if self._process is not None and self._process.poll() is None else None

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

    def wait(self, condition: Callable[[Counts], bool], timeout: float = 20.0) -> Counts:
        """Wait until the counts meet a condition, and return them."""
        deadline = time.monotonic() + timeout
        while not condition(counts := self.counts()):
            if time.monotonic() > deadline:
                raise TimeoutError(f"the chat server did not get there in {timeout} s: {counts}")
            time.sleep(0.01)
        return counts

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        # http.client knows no proxies, which is right for a server on this machine.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            content = json.loads(response.read())
        finally:
            connection.close()
        if response.status != 200:
            raise ValueError(content["error"])
        return content
