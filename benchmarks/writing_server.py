"""A teacher and judge for benchmarks, in a process of its own, that replies at once.

As a teacher it writes a new sound sentence to every request, as a judge it grants all criteria with true quotes,
or none, as often as `n` asks. Like benchmarks.constant_server it does as little as possible.
"""

from __future__ import annotations

import asyncio
import json
import random
import re
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any, Self

_MODELS = {"object": "list", "data": [{"id": name, "object": "model"} for name in ("teacher", "judge")]}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = tuple(f"{a}{b}o{c}a" for a in "bdfghklmnprstvz" for b in "aeiou" for c in _LETTERS)
_TEXT = re.compile(r"\n<text ([0-9a-f]+)>\n(.*)\n</text \1>", re.DOTALL)
_CRITERION = re.compile(r'^- "(\w+)": ', re.MULTILINE)


class WritingServer:
    """Starts the server; use as a context manager. The judge grants `accepted` of all texts, by their hash."""

    def __init__(self, accepted: float = 1.0) -> None:
        self._accepted = accepted
        self.base_url = ""

    def __enter__(self) -> Self:
        self._process = subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", "benchmarks.writing_server", str(self._accepted)],
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


def _completion(body: dict[str, Any], number: int, accepted: float) -> dict[str, Any]:
    asked = str(body["messages"][-1]["content"])
    found = _TEXT.search(asked)
    if found:
        quote = " ".join(found[2].split()[:6])
        criteria = _CRITERION.findall(asked[: found.start()].rpartition("\nCriteria:\n")[2])
        earned = zlib.crc32(found[2].encode()) < accepted * 2**32
        text = json.dumps({criterion: {"quote": quote, "earned": earned} for criterion in criteria})
    else:
        words = random.Random(number).choices(_WORDS, k=24)  # noqa: S311
        text = f"Answer: {' '.join(words).capitalize()}.\nExplanation: It shows in the {words[0]}."
    times = int(body.get("n") or 1)
    message = {"role": "assistant", "content": text}
    return {
        "id": f"chatcmpl-{number}",
        "object": "chat.completion",
        "created": 1,
        "model": body["model"],
        "choices": [{"index": index, "finish_reason": "stop", "message": message} for index in range(times)],
        "usage": {"prompt_tokens": 400, "completion_tokens": 60 * times, "total_tokens": 400 + 60 * times},
    }


class _Connection(asyncio.Protocol):
    number = 0  # of requests over all connections

    def __init__(self, accepted: float) -> None:
        self._accepted = accepted
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
            if head.startswith(b"get"):
                reply: dict[str, Any] = _MODELS
            else:
                _Connection.number += 1
                reply = _completion(json.loads(body), _Connection.number, self._accepted)
            content = json.dumps(reply).encode()
            headers = (
                f"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: {len(content)}\r\n\r\n"
            )
            self._transport.write(headers.encode() + content)


async def _serve(accepted: float) -> None:
    loop = asyncio.get_running_loop()
    listening = await loop.create_server(lambda: _Connection(accepted), "127.0.0.1", 0, backlog=1024)
    sys.stdout.write(f"{listening.sockets[0].getsockname()[1]}\n")
    sys.stdout.flush()
    await loop.run_in_executor(None, sys.stdin.read)  # ends when the parent does


if __name__ == "__main__":
    asyncio.run(_serve(float(sys.argv[1])))
