"""A server in a process of its own, as tests hold it: started once, told what to do, and ended with them."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from http.client import HTTPConnection
from pathlib import Path
from typing import Any, Self

_ROOT = Path(__file__).parents[2]
_START_S = 60.0
_STOP_S = 5.0


class ServerProcess:
    """Runs `python -m MODULE`, which calls tests.servers.serving.serve, and speaks with its control routes."""

    module: str

    def __init__(self) -> None:
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
            [sys.executable, "-m", self.module],
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
            raise RuntimeError(f"{self.module} did not start; its reason is on stderr")
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

    def reset(self) -> None:
        """Forget everything, and behave as at the start."""
        self._control("POST", "/control/reset", {})

    def _control(self, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        status, content = self._raw(method, path, body)
        answer = json.loads(content)
        if status != 200:
            raise ValueError(answer["error"])
        return answer

    def _raw(self, method: str, path: str, body: dict[str, Any] | None = None) -> tuple[int, bytes]:
        # http.client knows no proxies, which is right for a server on this machine.
        connection = HTTPConnection("127.0.0.1", self.port, timeout=30)
        try:
            connection.request(method, path, None if body is None else json.dumps(body))
            response = connection.getresponse()
            return response.status, response.read()
        finally:
            connection.close()
