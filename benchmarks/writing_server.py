"""A teacher and judge for benchmarks, in a process of its own, that replies at once.

As a teacher it writes a new sound sentence to every request, as a judge it grants all criteria with true quotes,
or none, as often as `n` asks. Like benchmarks.constant_server it does as little as possible.
"""

from __future__ import annotations

import json
import random
import re
import sys
import zlib
from collections.abc import Callable
from itertools import count
from typing import Any

from benchmarks.loopback import ServerProcess, response, serve

_MODELS = {"object": "list", "data": [{"id": name, "object": "model"} for name in ("teacher", "judge")]}
_LETTERS = "abcdefghijklmnopqrstuvwxyz"
_WORDS = tuple(f"{a}{b}o{c}a" for a in "bdfghklmnprstvz" for b in "aeiou" for c in _LETTERS)
_TEXT = re.compile(r"\n<text ([0-9a-f]+)>\n(.*)\n</text \1>", re.DOTALL)
_CRITERION = re.compile(r'^- "(\w+)": ', re.MULTILINE)


class WritingServer(ServerProcess):
    """Starts the server; use as a context manager. The judge grants `accepted` of all texts, by their hash."""

    def __init__(self, accepted: float = 1.0) -> None:
        super().__init__("benchmarks.writing_server", str(accepted))


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


def main() -> None:
    """Serve; the share of texts to accept is the argument."""
    accepted, numbers = float(sys.argv[1]), count(1)

    def answer(head: bytes, body: bytes, write: Callable[[bytes], None]) -> None:
        get = head.startswith(b"get")
        write(response(200, _MODELS if get else _completion(json.loads(body), next(numbers), accepted)))

    serve(answer)


if __name__ == "__main__":
    main()
