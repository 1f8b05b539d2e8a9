"""A habit behind a real server in this process."""

from __future__ import annotations

import json
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from tests.servers.told import Came, ToldServer
from tests.servers.zoo.habit import Answer, Habit, Json, is_check


@dataclass
class Visited:
    """What came: the address, the chats of the run, and how many of them brought nothing."""

    base_url: str = ""
    port: int = 0
    chats: list[Json] = field(default_factory=list)
    refused: int = 0
    answered: bool = False


@contextmanager
def serving(habit: Habit, tls: ssl.SSLContext | None = None) -> Iterator[Visited]:
    """Serve `habit` until the block ends."""
    visited, lock = Visited(), threading.Lock()

    def reply(came: Came) -> Answer:
        if came.method == "GET":
            return habit.models()
        body = json.loads(came.body)
        if is_check(body):
            return habit.chat(body, 0)
        with lock:
            number = len(visited.chats)
            visited.chats.append(body)
        answer = habit.chat(body, number)
        with lock:
            visited.answered = visited.answered or answer[0] == 200
            visited.refused += answer[0] != 200
        return answer

    with ToldServer(reply, tls=tls) as server:
        visited.base_url, visited.port = server.base_url, server.port
        yield visited
