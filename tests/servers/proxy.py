"""An HTTP proxy on this machine: whatever host it is asked for, it leads to one port."""

from __future__ import annotations

import base64
import select
import socket
from dataclasses import dataclass, field
from http.client import HTTPConnection
from typing import Self

from tests.servers.threaded import Handler, serving

_SKIPPED = frozenset({"host", "proxy-authorization", "proxy-connection", "connection", "transfer-encoding"})


@dataclass
class Proxy:
    """Use as a context manager; `asked` holds what came, as "METHOD ADDRESS". `user` is "NAME:PASSWORD"."""

    port: int
    user: str | None = None
    asked: list[str] = field(default_factory=list)
    told: list[str] = field(default_factory=list)  # the values of the headers that came for itself

    def __enter__(self) -> Self:
        proxy = self
        wanted = "" if self.user is None else f"Basic {base64.b64encode(self.user.encode()).decode()}"

        class Forwarding(Handler):
            def _let_in(self) -> bool:
                proxy.asked.append(f"{self.command} {self.path}")
                for_itself = self.command == "CONNECT"
                proxy.told += [
                    value for name, value in self.headers.items() if for_itself or name.lower().startswith("proxy")
                ]
                if self.headers.get("Proxy-Authorization", "") == wanted:
                    return True
                self.send_error(407)
                return False

            def do_CONNECT(self) -> None:  # noqa: N802
                self.close_connection = True
                if not self._let_in():
                    return
                with socket.create_connection(("127.0.0.1", proxy.port)) as server:
                    self.send_response(200)
                    self.end_headers()
                    sides = {self.connection: server, server: self.connection}
                    while ready := select.select(list(sides), [], [], 10)[0]:
                        for side in ready:
                            data = side.recv(65536)
                            if not data:
                                return
                            sides[side].sendall(data)

            def _forward(self) -> None:
                body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
                if not self._let_in():
                    return
                sent = {name: value for name, value in self.headers.items() if name.lower() not in _SKIPPED}
                connection = HTTPConnection("127.0.0.1", proxy.port)
                path = "/" + self.path.split("/", 3)[3]
                connection.request(self.command, path, body or None, sent)
                response = connection.getresponse()
                content = response.read()
                self.send_response(response.status)
                for name, value in response.getheaders():
                    if name.lower() not in _SKIPPED | {"content-length"}:
                        self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)
                connection.close()

            do_GET = do_POST = _forward  # noqa: N815

        self._serving = serving(Forwarding)
        self._own = self._serving.__enter__()
        return self

    def __exit__(self, *_: object) -> None:
        self._serving.__exit__(None, None, None)

    @property
    def url(self) -> str:
        user = "" if self.user is None else f"{self.user}@"
        return f"http://{user}127.0.0.1:{self._own}"
