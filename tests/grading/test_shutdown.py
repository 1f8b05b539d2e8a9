"""The day on which a judge is shut down, as the endpoint or the spec tells it."""

from __future__ import annotations

import datetime
import logging
from pathlib import Path

import pytest

from grading import Grader, UserError, resolve_judge
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow


def in_days(days: int) -> str:
    return str(datetime.date.today() + datetime.timedelta(days=days))


def check(server: ChatServer, tmp_path: Path, *, endpoint: object = "nothing", spec: str | None = None) -> None:
    """The preflight, with what the endpoint's card and the spec say."""
    card = {"id": "judge-1"} | ({} if endpoint == "nothing" else {"shutdown_date": endpoint})
    server.set(models=[card])
    judge = resolve_judge({"model": "judge-1", "shutdown": spec}, base_url=server.base_url)
    Grader(judge, tmp_path / "verdicts.sqlite").check()


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]


@pytest.mark.parametrize("days", [0, 1, 59])
def test_a_day_that_is_near_is_a_warning_in_days(chat_server, tmp_path, caplog, days: int):
    check(chat_server, tmp_path, endpoint=in_days(days))
    check(chat_server, tmp_path, endpoint=f"{in_days(days)}T00:00:00Z")
    check(chat_server, tmp_path, spec=in_days(days))
    assert len(warnings(caplog)) == 3
    for warning in warnings(caplog):
        assert f"judge-1 is shut down on {in_days(days)}, in {days} days" in warning


def test_a_day_that_is_far_or_not_announced_is_none(chat_server, tmp_path, caplog):
    for endpoint in (in_days(60), None, "soon", 3):
        check(chat_server, tmp_path, endpoint=endpoint)
    check(chat_server, tmp_path)
    assert warnings(caplog) == []


def test_after_that_day_the_judge_is_refused(chat_server, tmp_path):
    for says in ({"endpoint": in_days(-1)}, {"spec": in_days(-1)}):
        with pytest.raises(UserError, match=rf"judge-1 was shut down on {in_days(-1)}.*skillmix judges"):
            check(chat_server, tmp_path, **says)


def test_the_endpoint_knows_better_than_the_spec(chat_server, tmp_path, caplog):
    check(chat_server, tmp_path, endpoint=in_days(200), spec=in_days(-1))
    check(chat_server, tmp_path, endpoint=None, spec=in_days(-1))
    assert warnings(caplog) == []
    with pytest.raises(UserError, match="was shut down"):
        check(chat_server, tmp_path, endpoint=in_days(-1), spec=in_days(200))


def test_a_judge_that_is_gone_from_the_endpoint_is_said_to_be_shut_down(chat_server, tmp_path):
    chat_server.set(models=["judge-2"])
    judge = resolve_judge({"model": "judge-1", "shutdown": in_days(-3)}, base_url=chat_server.base_url)
    with pytest.raises(UserError, match="was shut down"):
        Grader(judge, tmp_path / "verdicts.sqlite").check()
