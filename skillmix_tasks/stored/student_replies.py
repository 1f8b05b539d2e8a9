"""Every reply of a student on disk as it arrives, in both turns: a killed run generates nothing twice.

They are in a store of the grading engine's, so that the commands of `skillmix store` serve it, too: in a file of
their own (--file), or on the server of the verdict store.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from grading import State
from grading.backend import Reply
from grading.home import Server, StorePlace, home, verdict_store
from grading.safety.bounds import load_json
from grading.store.replies import VerdictStore, vote_key
from skillmix_tasks.scoring.reply import AnswerState, StudentReply


def student_store() -> StorePlace:
    """The place of the students' replies: a file in the folder of the verdict store, or its server."""
    place = verdict_store()
    return place if isinstance(place, Server) else home() / "students.sqlite"


class StudentReplies:
    """The stored replies of one student: `identity` identifies the student."""

    def __init__(self, place: StorePlace, identity: Mapping[str, Any]) -> None:
        self._identity = dict(identity)
        self._name = str(identity["model"])
        self._store = VerdictStore(place)

    def key(self, context: Any, arguments: Mapping[str, Any], generation: int) -> str:
        """The key of a reply: the student, the exact messages, how they are sampled, and the generation."""
        return vote_key(
            self._identity | {"arguments": dict(arguments)},
            [{"role": "user", "content": str(context)}],
            generation,
        )

    def read(self, keys: Sequence[str]) -> dict[str, StudentReply]:
        """The stored replies by key; an unreadable one is left out."""
        found = {}
        for key, reply in self._store.read(keys).items():
            try:
                found[key] = StudentReply.of_record(load_json(reply.text))
            except (ValueError, KeyError, TypeError):
                continue
        return found

    def write(self, key: str, reply: StudentReply) -> None:
        """Put a reply on disk, unless its request failed."""
        if reply.state is not AnswerState.API_FAILED:
            text = json.dumps(reply.record(), ensure_ascii=True)
            self._store.write(key, self._name, Reply(State.GRADED, text))

    def close(self) -> None:
        self._store.close()
