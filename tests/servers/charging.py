"""An endpoint in the tests' own process that charges for what it writes and reports whatever a test says.

    with ChargingServer(report=lambda call: '{"prompt_tokens": -5}') as server:
        ...
        server.charged()  # what its replies really cost, whatever it reported

Prompts are charged a token for every four bytes, replies as many tokens as `completion` says of them. It serves
chats and batches; `refuse` may turn a chat down with headers of its own, and `headers` stand in every reply.
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

Json = dict[str, Any]


@dataclass(frozen=True)
class Charge:
    """One reply that is paid for: its number from 0, its tokens, and when its request came and it left."""

    number: int
    prompt: int
    completion: int
    came: float = 0.0
    left: float = 0.0


def honest(charge: Charge) -> str:
    """Usage as it is."""
    return json.dumps({"prompt_tokens": charge.prompt, "completion_tokens": charge.completion})


class ChargingServer:
    """One server; use as a context manager. `report` gives a reply's usage as JSON text, or "" for none."""

    def __init__(
        self,
        report: Callable[[Charge], str] = honest,
        *,
        completion: Callable[[int], int] = lambda number: 60,
        refuse: Callable[[int], tuple[int, Mapping[str, str]] | None] = lambda number: None,
        headers: Mapping[str, str] | None = None,
        latency: float = 0.0,
    ) -> None:
        self.report = report
        self.completion = completion
        self.refuse = refuse
        self.headers = dict(headers or {})
        self.models_refused: tuple[int, Mapping[str, str]] | None = (
            None  # status and headers for the list of models
        )
        self.latency = latency
        self.charges: list[Charge] = []
        self.came = 0  # chats
        self.files: dict[str, bytes] = {}
        self.lock = threading.Lock()

    def __enter__(self) -> Self:
        self._http = _Http(("127.0.0.1", 0), _Handler)
        self._http.charging = self
        self._thread = threading.Thread(
            target=self._http.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True
        )
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    @property
    def base_url(self) -> str:
        """What a judge is given."""
        return f"http://127.0.0.1:{self._http.server_address[1]}/v1"

    def charged(self, *, input_: float, output: float) -> float:
        """Dollars, at dollars per million tokens, of all replies."""
        return sum(one.prompt * input_ + one.completion * output for one in self.charges) / 1e6

    def chat(self, body: Json, came: float) -> str:
        """The completion for a request, as JSON text."""
        properties = body.get("response_format", {}).get("json_schema", {}).get("schema", {}).get("properties")
        text = (
            json.dumps({name: {"quote": "", "earned": False} for name in properties}) if properties else "A text."
        )
        if self.latency:
            time.sleep(self.latency)
        with self.lock:
            number = len(self.charges)
            size = sum(len(message["content"].encode()) for message in body["messages"])
            charge = Charge(number, size // 4, self.completion(number), came, time.monotonic())
            self.charges.append(charge)
        choice = {"index": 0, "message": {"role": "assistant", "content": text}, "finish_reason": "stop"}
        usage = self.report(charge)
        return f'{{"choices": [{json.dumps(choice)}]' + (f', "usage": {usage}}}' if usage else "}")


class _Http(ThreadingHTTPServer):
    charging: ChargingServer
    daemon_threads = True
    request_queue_size = 256


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Http

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        server, path = self.server.charging, self.path.partition("?")[0]
        if path == "/v1/models" and server.models_refused:
            self._send(server.models_refused[0], "{}", server.models_refused[1])
        elif path == "/v1/models":
            self._send(200, json.dumps({"data": [{"id": "judge-1"}]}))
        elif path == "/v1/batches":
            self._send(200, json.dumps({"object": "list", "data": [], "has_more": False}))
        elif path.startswith("/v1/batches/"):
            self._send(200, _batch("completed"))
        else:
            self._send(200, server.files["replies"].decode())

    def do_POST(self) -> None:
        server, came = self.server.charging, time.monotonic()
        content = self.rfile.read(int(self.headers["Content-Length"]))
        if self.path == "/v1/files":
            lines = [line for line in content.splitlines() if line.startswith(b'{"custom_id"')]
            items = [json.loads(line) for line in lines]
            replies = (
                f'{{"custom_id": "{item["custom_id"]}", "response": {{"status_code": 200, "body": '
                f"{server.chat(item['body'], came)}}}}}"
                for item in items
            )
            server.files["replies"] = "\n".join(replies).encode()
            self._send(200, json.dumps({"id": "file-1", "object": "file"}))
        elif self.path == "/v1/batches":
            self._send(200, _batch("in_progress"))
        else:
            with server.lock:
                number = server.came
                server.came += 1
            refusal = server.refuse(number)
            if refusal:
                self._send(refusal[0], json.dumps({"error": {"message": "Not now."}}), refusal[1])
            else:
                self._send(200, server.chat(json.loads(content), came), server.headers)

    def _send(self, status: int, body: str, headers: Mapping[str, str] | None = None) -> None:
        content = body.encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", **(headers or {})}.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _batch(status: str) -> str:
    return json.dumps({"id": "batch-1", "object": "batch", "status": status, "output_file_id": "file-2"})
