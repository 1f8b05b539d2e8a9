"""A chat server for benchmarks, in a process of its own: one constant reply after a fixed latency.

It does as little as possible, so that the clients are measured and not the server. With `rate` it is a token
bucket that answers 429 beyond `rate` requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import subprocess
import sys
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Self

_MODELS = {"object": "list", "data": [{"id": "judge", "object": "model"}]}


@dataclass
class Stats:
    """What the server saw since the last look: when it sent its 200 replies, its other replies, most at once."""

    replied: list[float]
    refused: int
    in_flight_max: int

    def steady_rate(self, in_flight: int) -> float:
        """Replies a second without the first and the last round of requests."""
        times = self.replied[in_flight - 1 : len(self.replied) - in_flight]
        return (len(times) - 1) / (times[-1] - times[0])


class ConstantServer:
    """Starts the server; use as a context manager. `retry_after` is "none", "seconds" or "exact"."""

    def __init__(
        self,
        content: str,
        latency: float,
        *,
        rate: float = 0.0,
        burst: float = 1.0,
        retry_after: str = "none",
    ) -> None:
        self._arguments = [content, str(latency), str(rate), str(burst), retry_after]
        self.base_url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.constant_server", *self._arguments],
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

    def stats(self) -> Stats:
        """What the server saw since the last call."""
        with urllib.request.urlopen(self.base_url + "/stats", timeout=60) as response:  # noqa: S310
            return Stats(**json.load(response))


class _Server:
    def __init__(self, content: str, latency: float, rate: float, burst: float, retry_after: str) -> None:
        message = {"role": "assistant", "content": content}
        self.reply = _response(
            200,
            {
                "id": "chatcmpl-1",
                "object": "chat.completion",
                "created": 1,
                "model": "judge",
                "choices": [{"index": 0, "finish_reason": "stop", "message": message}],
                "usage": {"prompt_tokens": 400, "completion_tokens": 60, "total_tokens": 460},
            },
        )
        self.latency, self.rate, self.burst, self.retry_after = latency, rate, burst, retry_after
        self.tokens, self.filled = burst, 0.0
        self.in_flight = 0
        self.stats = Stats([], 0, 0)

    def refusal(self, now: float) -> bytes | None:
        """The 429 reply, if the bucket is empty."""
        if not self.rate:
            return None
        self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
        self.filled = now
        if self.tokens >= 1:
            self.tokens -= 1
            return None
        wait = (1 - self.tokens) / self.rate
        told = {"none": None, "seconds": str(math.ceil(wait)), "exact": f"{wait:.3f}"}[self.retry_after]
        error = {"message": "Rate limit reached.", "type": "requests", "code": "rate_limit_exceeded"}
        return _response(429, {"error": error}, {} if told is None else {"Retry-After": told})

    def look(self) -> bytes:
        stats, self.stats = self.stats, Stats([], 0, 0)
        return _response(200, vars(stats))


def _response(status: int, body: object, headers: dict[str, str] | None = None) -> bytes:
    data = json.dumps(body).encode()
    lines = [f"HTTP/1.1 {status} -", "Content-Type: application/json", f"Content-Length: {len(data)}"]
    lines += [f"{name}: {value}" for name, value in (headers or {}).items()]
    return "\r\n".join([*lines, "", ""]).encode() + data


class _Connection(asyncio.Protocol):
    def __init__(self, server: _Server) -> None:
        self._server = server
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
            self._buffer = self._buffer[size:]
            self._answer(head)

    def _answer(self, head: bytes) -> None:
        server, loop = self._server, asyncio.get_running_loop()
        if head.startswith(b"get /v1/stats"):
            self._transport.write(server.look())
        elif head.startswith(b"get"):
            self._transport.write(_response(200, _MODELS))
        elif refusal := server.refusal(loop.time()):
            server.stats.refused += 1
            self._transport.write(refusal)
        else:
            server.in_flight += 1
            server.stats.in_flight_max = max(server.stats.in_flight_max, server.in_flight)
            loop.call_later(server.latency, self._reply)

    def _reply(self) -> None:
        self._server.in_flight -= 1
        self._server.stats.replied.append(asyncio.get_running_loop().time())
        self._transport.write(self._server.reply)


async def _serve(server: _Server) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Connection(server), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # ends when the parent does


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("content")
    for number in ("latency", "rate", "burst"):
        parser.add_argument(number, type=float)
    parser.add_argument("retry_after")
    asyncio.run(_serve(_Server(**vars(parser.parse_args()))))
