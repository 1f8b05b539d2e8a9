"""A chat server for benchmarks, in a process of its own: one constant reply after a fixed latency.

It does as little as possible, so that the clients are measured and not the server. With `rate` it is a token
bucket that answers 429 beyond `rate` requests a second.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import math
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass

from benchmarks.loopback import ServerProcess, response, serve

_MODELS = {"object": "list", "data": [{"id": "judge", "object": "model"}]}


@dataclass
class Stats:
    """The server's record since the last look: the times of its 200 replies, its other replies, most at once."""

    replied: list[float]
    refused: int
    in_flight_max: int

    def steady_rate(self, in_flight: int) -> float:
        """Replies a second without the first and the last round of requests."""
        times = self.replied[in_flight - 1 : len(self.replied) - in_flight]
        return (len(times) - 1) / (times[-1] - times[0])


class ConstantServer(ServerProcess):
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
        arguments = (content, str(latency), str(rate), str(burst), retry_after)
        super().__init__("benchmarks.constant_server", *arguments)

    def stats(self) -> Stats:
        """The server's record since the last call."""
        with urllib.request.urlopen(self.base_url + "/stats", timeout=60) as reply:  # noqa: S310
            return Stats(**json.load(reply))


class _Server:
    def __init__(self, content: str, latency: float, rate: float, burst: float, retry_after: str) -> None:
        message = {"role": "assistant", "content": content}
        self.reply = response(
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
        return response(429, {"error": error}, {} if told is None else {"Retry-After": told})

    def look(self) -> bytes:
        stats, self.stats = self.stats, Stats([], 0, 0)
        return response(200, vars(stats))

    def answer(self, head: bytes, _: bytes, write: Callable[[bytes], None]) -> None:
        loop = asyncio.get_running_loop()
        if head.startswith(b"get /v1/stats"):
            write(self.look())
        elif head.startswith(b"get"):
            write(response(200, _MODELS))
        elif refusal := self.refusal(loop.time()):
            self.stats.refused += 1
            write(refusal)
        else:
            self.in_flight += 1
            self.stats.in_flight_max = max(self.stats.in_flight_max, self.in_flight)
            loop.call_later(self.latency, self._reply, write)

    def _reply(self, write: Callable[[bytes], None]) -> None:
        self.in_flight -= 1
        self.stats.replied.append(asyncio.get_running_loop().time())
        write(self.reply)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("content")
    for number in ("latency", "rate", "burst"):
        parser.add_argument(number, type=float)
    parser.add_argument("retry_after")
    serve(_Server(**vars(parser.parse_args())).answer)
