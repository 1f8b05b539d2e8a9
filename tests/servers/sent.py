"""A reply on its way to the client."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web


@dataclass(frozen=True)
class Sent:
    """A reply to be sent; `cut` closes the connection after half of it."""

    status: int
    body: dict[str, Any] | str
    headers: dict[str, str] = field(default_factory=dict)
    cut: bool = False


async def send(request: web.Request, sent: Sent) -> web.StreamResponse:
    """Send a reply from within the handler, so that what is counted as sent has been sent."""
    page = isinstance(sent.body, str) and sent.status != 200
    data = (sent.body if isinstance(sent.body, str) else json.dumps(sent.body)).encode()
    headers = {"Content-Type": "text/html" if page else "application/json", **sent.headers}
    if not sent.cut:
        response = web.Response(status=sent.status, body=data, headers=headers)
        await response.prepare(request)
        await response.write_eof()
        return response
    half = web.StreamResponse(status=sent.status, headers=headers)
    half.content_length = len(data)
    await half.prepare(request)
    await half.write(data[: len(data) // 2])
    if request.transport:
        request.transport.close()
    return half
