"""What stands before every route of the loopback Hub: the token, the faults, and the log of all bytes.

A fault is {"route": "commit", "kind": "500", "times": 2}; its kinds:

- three digits: an error reply with that status; 429 with a Retry-After header of `retry_after` seconds
- drop: the connection closes before the request was read; lose: after it was carried out, without a reply
- race: somebody else commits to the repository first
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

TOKEN = "hf_" + "loopback" * 4
_Handler = Callable[[web.Request], Awaitable[web.Response]]


class Refused(Exception):  # noqa: N818 - a way out of a handler
    """The reply is an error."""

    def __init__(self, response: web.Response) -> None:
        super().__init__(response.status)
        self.response = response


class Gate:
    """The state of one Hub besides its repositories."""

    def __init__(self) -> None:
        self.on_race: Callable[[str, str], None] = lambda *_: None
        self.reset({})

    def reset(self, told: dict[str, Any]) -> None:
        self._faults: list[dict[str, Any]] = [dict(fault) for fault in told.get("faults", [])]
        self._received = bytearray()
        self._log: list[dict[str, Any]] = []

    def routes(self) -> list[web.RouteDef]:
        return [
            web.post("/control/faults", self.set_faults),
            web.get("/control/log", self.log),
            web.get("/control/received", self.received),
        ]

    async def set_faults(self, request: web.Request) -> web.Response:
        self._faults = [dict(fault) for fault in (await request.json())["faults"]]
        return web.json_response({})

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response(self._log)

    async def received(self, request: web.Request) -> web.Response:
        return web.Response(body=bytes(self._received))

    def knows(self, request: web.Request) -> bool:
        return request.headers.get("Authorization") == f"Bearer {TOKEN}"

    def check_writer(self, request: web.Request) -> None:
        """Turn away who has no token, another one, or no right to that name."""
        if not self.knows(request):
            raise error(401, "Invalid credentials in Authorization header")
        if request.match_info.get("org") == "forbidden":
            raise error(403, "You do not have the rights to write to this repo")

    def guard(self, name: str, handler: _Handler) -> _Handler:
        """The handler behind the log and the faults."""

        async def guarded(request: web.Request) -> web.Response:
            self._head(name, request)
            kind, fault = self._next(name)
            if kind == "drop":
                return _hang_up(request)
            self._received += await request.read() + b"\n"
            if kind.isdigit():
                headers = {"Retry-After": str(fault["retry_after"])} if "retry_after" in fault else {}
                return error(int(kind), f"The request failed with status {kind}", **headers).response
            if kind == "race":
                place = request.match_info
                self.on_race(place["kind"].removesuffix("s"), f"{place['org']}/{place['name']}")
            try:
                if "Authorization" in request.headers and not self.knows(request):
                    raise error(401, "Invalid credentials in Authorization header")
                response = await handler(request)
            except Refused as refused:
                response = refused.response
            return _hang_up(request) if kind == "lose" else response

        return guarded

    def _head(self, name: str, request: web.Request) -> None:
        """Keep what a request said of itself. The token is where it belongs, and is kept as a fact alone."""
        told = {key: value for key, value in request.headers.items() if key.lower() != "authorization"}
        self._received += f"{request.method} {request.path_qs} {told}\n".encode()
        sent = request.headers.get("Authorization")
        self._log.append({"route": name, "path": request.path, "token": sent and self.knows(request)})

    def _next(self, name: str) -> tuple[str, dict[str, Any]]:
        for fault in self._faults:
            if fault["route"] == name and fault.get("times", 1) > 0:
                fault["times"] = fault.get("times", 1) - 1
                return fault["kind"], fault
        return "", {}


def error(
    status: int, message: str, code: str | None = None, *, url: str | None = None, **headers: str
) -> Refused:
    """An error as the Hub words it."""
    told = {"X-Error-Message": message} | ({"X-Error-Code": code} if code else {}) | headers
    body = {"error": message} | ({"url": url} if url else {})
    named = {name.replace("_", "-"): value for name, value in told.items()}
    return Refused(web.json_response(body, status=status, headers=named))


def _hang_up(request: web.Request) -> web.Response:
    if request.transport:
        request.transport.abort()
    return web.Response()
