"""The loopback Hub as tests hold it.

    with HubServer() as hub:
        hub.fail("commit", "412")
        run("skillmix", "push", ..., env=hub.environment(tmp_path))
        assert hub.repo("dataset", "org/skillmix").files.keys() == {...}

HF_ENDPOINT is read when huggingface_hub is imported, so its clients run in processes of their own.
"""

from __future__ import annotations

import base64
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.servers.hub.gate import TOKEN
from tests.servers.process import ServerProcess

__all__ = ["TOKEN", "HubServer", "Stored"]


@dataclass(frozen=True)
class Stored:
    """A repository: its files at the newest commit, and the hashes of its commits, oldest first."""

    private: bool
    commits: list[str]
    files: dict[str, bytes]
    requests: list[dict[str, bytes]]
    """The files of each open pull request."""

    def json(self, path: str) -> Any:
        return json.loads(self.files[path])


class HubServer(ServerProcess):
    module = "tests.servers.hub.app"

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def environment(self, home: Path, *, token: str | None = TOKEN, **variables: str) -> dict[str, str]:
        """An environment in which this is the Hub, with a home of the test's own and no other keys."""
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(("HF_", "OPENAI_", "SKILLMIX_", "HUGGING_FACE_"))
        }
        own = {
            "HF_ENDPOINT": self.url,
            "HF_HOME": str(home / "hf"),
            "HF_HUB_DISABLE_XET": "1",  # this Hub has none
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "SKILLMIX_HOME": str(home / "skillmix"),
            "OMP_NUM_THREADS": "1",
        }
        return kept | own | ({} if token is None else {"HF_TOKEN": token}) | variables

    def fail(self, route: str, kind: str, times: int = 1, **more: Any) -> None:
        """Have the next `times` requests of a route meet a fault, in place of what was set before."""
        self._control(
            "POST", "/control/faults", {"faults": [{"route": route, "kind": kind, "times": times} | more]}
        )

    def intrude(self, kind: str, name: str) -> None:
        """Let somebody else commit a file."""
        self._control("POST", "/control/intrude", {"kind": kind, "name": name})

    def repo(self, kind: str, name: str) -> Stored:
        told = self._control("GET", f"/control/repo?kind={kind}&name={name}")
        files, *requests = (
            {path: base64.b64decode(content) for path, content in one.items()}
            for one in (told["files"], *told["requests"].values())
        )
        return Stored(told["private"], told["commits"], files, requests)

    def log(self) -> list[dict[str, Any]]:
        """The requests in order of arrival: route, path, and whether the right token came with it."""
        log: list[dict[str, Any]] = self._control("GET", "/control/log")
        return log

    def received(self) -> bytes:
        """Every byte that arrived, but for the headers that carry the token."""
        return self._raw("GET", "/control/received")[1]
