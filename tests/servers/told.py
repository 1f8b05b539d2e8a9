"""A server that answers each request as a function tells it, and keeps what came."""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Self

from tests.servers.threaded import Handler, serving


@dataclass(frozen=True)
class Came:
    """One request."""

    method: str
    path: str
    headers: dict[str, str]
    body: bytes


Answer = tuple[int, dict[str, str], bytes]


@dataclass
class ToldServer:
    """Use as a context manager; `answer` gives status, headers and body."""

    answer: Callable[[Came], Answer]
    came: list[Came] = field(default_factory=list)
    tls: ssl.SSLContext | None = None

    def __enter__(self) -> Self:
        told = self

        class Told(Handler):
            def _answer(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                came = Came(self.command, self.path, dict(self.headers), body)
                told.came.append(came)
                status, headers, content = told.answer(came)
                self.send_response(status)
                length = {} if "Transfer-Encoding" in headers else {"Content-Length": str(len(content))}
                for name, value in (length | headers).items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(content)

            do_GET = do_POST = _answer  # noqa: N815 - the names that the base class looks for

        self._serving = serving(Told, self.tls)
        self.port = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    @property
    def base_url(self) -> str:
        return f"http{'' if self.tls is None else 's'}://127.0.0.1:{self.port}/v1"
