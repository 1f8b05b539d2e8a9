"""A server whose replies have no end, or are larger than they look; the first part of the path says which.

Run as `python -m tests.servers.hostile`, see tests.servers.serving.
"""

from __future__ import annotations

import gzip
import io
import json
import zlib
from contextlib import suppress
from functools import cache
from typing import Any, Final

from aiohttp import web

from tests.servers.process import ServerProcess
from tests.servers.serving import serve

_BLOCK: Final = b" " * 2**16
_TAKES: Final = 2**32  # bytes after which an endless body ends anyway
_BOMB: Final = 64 * 2**20  # bytes of an unpacked bomb
_GOOD: Final = {
    "choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}],
    "data": [{"id": "judge-1"}],
    "usage": {"prompt_tokens": 10, "completion_tokens": 5},
}


def _reply(text: str) -> bytes:
    return json.dumps({"choices": [{"message": {"content": text}, "finish_reason": "stop"}]}).encode()


@cache
def _gzip_bomb() -> bytes:
    packed = io.BytesIO()
    with gzip.GzipFile(fileobj=packed, mode="wb", compresslevel=1) as file:
        for _ in range(_BOMB // len(_BLOCK)):
            file.write(_BLOCK)
    return packed.getvalue()


@cache
def _deflate_bomb() -> bytes:
    return zlib.compress(b" " * _BOMB, 1)


_WHOLE: Final[dict[str, tuple[int, dict[str, str], Any]]] = {
    "good": (200, {}, lambda: json.dumps(_GOOD).encode()),
    "good-gzip": (200, {"Content-Encoding": "gzip"}, lambda: gzip.compress(json.dumps(_GOOD).encode())),
    "gzip": (200, {"Content-Encoding": "gzip"}, _gzip_bomb),
    "deflate": (200, {"Content-Encoding": "deflate"}, _deflate_bomb),
    "gzip-in-gzip": (200, {"Content-Encoding": "gzip, gzip"}, lambda: gzip.compress(_gzip_bomb())),
    "br": (200, {"Content-Encoding": "br"}, lambda: b"\x00" * 100),
    "zstd": (200, {"Content-Encoding": "zstd"}, lambda: b"\x28\xb5\x2f\xfd" * 100),
    "broken-gzip": (200, {"Content-Encoding": "gzip"}, lambda: b"\x1f\x8b no gzip" * 20),
    "gzip-and-more": (200, {"Content-Encoding": "gzip"}, lambda: gzip.compress(b"{}") + _BLOCK),
    "five-megabytes": (200, {}, lambda: _reply("x" * 5_000_000)),
    "long-text": (200, {}, lambda: _reply("x" * 3_000_000)),
    "deep": (200, {}, lambda: b'{"choices": ' + b"[" * 1_000_000),
    "nested": (200, {}, lambda: b'{"choices": ' + b"[" * 500 + b"]" * 500 + b"}"),
    "digits": (200, {}, lambda: b'{"choices": [], "usage": {"prompt_tokens": ' + b"9" * 5000 + b"}}"),
    "long-error": (400, {}, lambda: json.dumps({"error": {"message": "x" * 1_000_000}}).encode()),
    "long-refusal": (
        200,
        {},
        lambda: json.dumps({"choices": [{"message": {"refusal": "no " * 500_000}}]}).encode(),
    ),
}
_ENDLESS: Final = {"endless": 200, "endless-error": 400, "endless-503": 503}
KINDS: Final = (*_WHOLE, *_ENDLESS, "headers")


async def _answer(request: web.Request) -> web.StreamResponse:
    kind = request.match_info["kind"]
    await request.read()
    if kind == "headers":
        return web.json_response(_GOOD, headers={f"X-Header-{number}": "x" * 1000 for number in range(5000)})
    if kind in _WHOLE:
        status, headers, body = _WHOLE[kind]
        return web.Response(status=status, headers=headers, body=body(), content_type="application/json")
    response = web.StreamResponse(status=_ENDLESS[kind], headers={"Content-Type": "application/json"})
    response.enable_chunked_encoding()
    await response.prepare(request)
    with suppress(ConnectionError):  # the client has enough
        for _ in range(_TAKES // len(_BLOCK)):
            await response.write(_BLOCK)
    return response


async def _reset(_: web.Request) -> web.Response:
    return web.json_response({})


class HostileServer(ServerProcess):
    """One server for all kinds of replies."""

    module = "tests.servers.hostile"

    def base_url(self, kind: str) -> str:
        """The address under which all replies are of that kind."""
        assert kind in KINDS
        return f"http://127.0.0.1:{self.port}/{kind}/v1"


if __name__ == "__main__":
    application = web.Application()
    application.add_routes([web.post("/control/reset", _reset), web.route("*", "/{kind}/v1/{rest:.*}", _answer)])
    serve(application)
