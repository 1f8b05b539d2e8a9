"""Results of a batch that come incomplete are fetched again, and nothing in them is bought twice."""

from __future__ import annotations

from pathlib import Path

import pytest

from grading import UserError
from tests.grading.batch_run import REQUESTS, batch_grader, decided
from tests.grading.test_batch import majorities, open_batches
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

FEW = REQUESTS[:12]
WAYS = ("html", "empty", "half", "lines")


@pytest.fixture(autouse=True)
def _several_votes(chat_server: ChatServer) -> None:
    chat_server.set(n="honour", models=["judge-1"])


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_file_of_replies(
    chat_server: ChatServer, tmp_path: Path, way: str, counts: bool, caplog: pytest.LogCaptureFixture
):
    chat_server.set(batch_files=[way], batch_counts=counts)
    grader = batch_grader(tmp_path / "store", chat_server.base_url)
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    assert (chat_server.counts().batches, set(chat_server.counts().submitted.values())) == (1, {1})
    assert open_batches(tmp_path / "store") == []
    found = 6 if way in ("half", "lines") else 0
    assert f"batch batch_0 holds 12 results and its files came with {found}" in caplog.text
    assert ("an HTML page: Just a moment..." in caplog.text) == (way == "html")
    assert ("an empty file" in caplog.text) == (way == "empty")


@pytest.mark.parametrize("counts", [True, False])
@pytest.mark.parametrize("way", WAYS)
def test_a_file_of_errors(chat_server: ChatServer, tmp_path: Path, way: str, counts: bool):
    chat_server.set(judge_faults={"500": 0.5}, fault_attempts=1, batch_files=[None, way], batch_counts=counts)
    grader = batch_grader(tmp_path / "store", chat_server.base_url)
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    told = chat_server.counts()
    assert told.routes["GET /v1/files/{id}/content"] == 5  # both twice, and the replies of the second batch
    assert 1 < told.faults["500"] < 12
    assert sorted(told.submitted.values()) == [1] * (12 - told.faults["500"]) + [2] * told.faults["500"]


def test_an_error_that_cannot_pass_is_not_lost_with_its_file(chat_server: ChatServer, tmp_path: Path):
    """Else its requests would be sent again as if nobody knew of them."""
    chat_server.set(judge_faults={"400": 0.5}, batch_files=[None, "empty"])
    grader = batch_grader(tmp_path / "store", chat_server.base_url)
    grader.grade(FEW, progress=False)
    assert set(chat_server.counts().submitted.values()) == {1}


def test_a_file_that_never_comes_keeps_its_batch_for_the_next_run(chat_server: ChatServer, tmp_path: Path):
    store = tmp_path / "store"
    chat_server.set(batch_files=["html"] * 5)
    with pytest.raises(
        UserError, match=r"are incomplete .* 12 results .* with 0, .*HTML.* nothing is bought again"
    ):
        batch_grader(store, chat_server.base_url).grade(FEW, progress=False)
    assert open_batches(store) == [("batch_0", 36)]
    again = batch_grader(store, chat_server.base_url)
    assert decided(again.grade(FEW, progress=False)) == majorities(12)
    assert (chat_server.counts().batches, open_batches(store)) == (1, [])


@pytest.mark.parametrize("error", ["", "error "])
@pytest.mark.parametrize("route", ["upload", "create", "list", "look"])
def test_another_reply_than_the_batch_apis(chat_server: ChatServer, tmp_path: Path, route: str, error: str):
    chat_server.set(batch_odd=[error + route], batch_polls=2)
    if route == "list":
        chat_server.set(batch_lose=["create"])  # the batch is looked for
    grader = batch_grader(tmp_path / "store", chat_server.base_url)
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    assert (chat_server.counts().batches, set(chat_server.counts().submitted.values())) == (1, {1})


def test_an_unknown_status_is_no_end(chat_server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("grading.batch.backend._PATIENCE", 3)
    chat_server.set(batch_script=["paused"])
    with pytest.raises(UserError, match=r"batch_0 is paused"):
        batch_grader(tmp_path / "store", chat_server.base_url).grade(FEW, progress=False)
    assert (chat_server.counts().batches, open_batches(tmp_path / "store")) == (1, [("batch_0", 36)])
