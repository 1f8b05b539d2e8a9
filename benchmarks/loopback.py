"""A server for benchmarks in a process of its own, which does as little as possible around its replies."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Self

# Takes a request's head in lower case, its body, and what writes to its connection.
Answer = Callable[[bytes, bytes, Callable[[bytes], None]], None]


class ServerProcess:
    """Runs `python -m MODULE ARGUMENTS`, which calls `serve`; use as a context manager."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self.base_url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603
            self._command,
            cwd=Path(__file__).parents[1],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self._process.stdout is not None
        self.base_url = f"http://127.0.0.1:{int(self._process.stdout.readline())}/v1"
        return self

    def __exit__(self, *_: object) -> None:
        self._process.kill()
        self._process.communicate()


def response(status: int, body: object, headers: dict[str, str] | None = None) -> bytes:
    """A complete reply with `body` as JSON."""
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} -", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


def serve(answer: Answer) -> None:
    """Serve on a free port, which is printed, until standard input ends."""
    asyncio.run(_serve(answer))


class _Connection(asyncio.Protocol):
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        while (end := self._buffer.find(b"\r\n\r\n")) >= 0:
            head = self._buffer[:end].lower()
            _, found, length = head.partition(b"content-length:")
            size = end + 4 + (int(length.split(b"\r\n")[0]) if found else 0)
            if len(self._buffer) < size:
                return
            body, self._buffer = self._buffer[end + 4 : size], self._buffer[size:]
            self._answer(head, body, self._transport.write)


async def _serve(answer: Answer) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Connection(answer), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # ends when the parent does
