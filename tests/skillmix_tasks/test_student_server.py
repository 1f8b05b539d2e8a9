"""The replies of students where SKILLMIX_STORE names a server."""

from __future__ import annotations

from pathlib import Path

import pytest

from skillmix_tasks.scoring.reply import StudentReply
from skillmix_tasks.stored.student_replies import StudentReplies, student_store
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.slow


def test_replies_are_on_the_server_and_not_in_a_file(
    postgres: PostgresServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path))
    monkeypatch.setenv("SKILLMIX_STORE", postgres.new_store().address)
    for expected in ({}, {"key": StudentReply("It rains.")}):
        store = StudentReplies(student_store(), {"model": "student"})
        key = store.key("Write about rain.", {"temperature": 0.7}, 0)
        assert {name.replace(key, "key"): reply for name, reply in store.read([key]).items()} == expected
        store.write(key, StudentReply("It rains."))
        store.close()
    assert list(tmp_path.iterdir()) == []
