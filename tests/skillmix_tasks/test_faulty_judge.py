"""A judge that fails in three of ten replies changes no score: it is right, or missing with a name and bounds."""

from __future__ import annotations

from pathlib import Path
from statistics import mean
from typing import Any

import pytest
from tenacity import wait_random_exponential

from grading import Panel, State, resolve_judge
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.scoring.metrics import item_metrics
from skillmix_tasks.scoring.points import judge_replies
from tests.servers.chat import ChatServer, student_text

pytestmark = pytest.mark.slow

ITEMS, GENERATIONS = 24, 3
# A rate limit, a server error, a timeout, a broken connection, a reply that is no JSON, a text that is no JSON,
# JSON of another form, a refusal, an empty text.
FAULTS = ("429-retry-after", "500", "hang", "cut", "bad-body", "bad-content", "wrong-schema", "refusal", "empty")
# Marks that are the same in every vote give each point a true value; low enough for scores between 0 and 1.
JUDGE: dict[str, Any] = {"steady": True, "earn": 0.75}
FAULTY = JUDGE | {"judge_faults": dict.fromkeys(FAULTS, 0.3 / len(FAULTS)), "retry_after": 0.05}
Scores = list[dict[str, float]]


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    # Seconds; with the real ones faults that last would make the tests last for minutes, too.
    monkeypatch.setattr("grading.endpoint.transport._TIMEOUT", 1.0)
    monkeypatch.setattr("grading.endpoint.transport.BACKOFF", wait_random_exponential(multiplier=0.05, max=1))


def scores(server: ChatServer, store: Path, *, adaptive: bool = True) -> tuple[Scores, list[dict[str, Any]]]:
    """The metrics of each item, and the records of all generations."""
    pack = load_pack("language")
    items = sample_items(pack, task="skillmix_k3", k=3, split="all", seed=0, number=ITEMS)
    asked = [
        (item, ("Write it.",), [student_text([{"role": "user", "content": item.id}], generation)])
        for item in items
        for generation in range(GENERATIONS)
    ]
    panel = Panel([resolve_judge("judge-1", base_url=server.base_url)], store, concurrency=32, adaptive=adaptive)
    try:
        records = judge_replies(pack, asked, panel)
    finally:
        panel.close()
    points = [record["points"] for record in records]
    return [item_metrics(points[i : i + GENERATIONS]) for i in range(0, len(points), GENERATIONS)], records


@pytest.fixture
def true_scores(chat_server: ChatServer, tmp_path: Path) -> Scores:
    chat_server.set(**JUDGE)
    found, _ = scores(chat_server, tmp_path / "faultless.sqlite")
    assert all(item["coverage"] == 1 for item in found)
    assert 0.2 < mean(item["full_marks"] for item in found) < 0.8, "the judge of this test must not be constant"
    chat_server.reset()
    return found


def struck(server: ChatServer) -> float:
    """The share of faulty replies; every kind of fault must be among them."""
    counts = server.counts()
    assert set(counts.faults) == set(FAULTS)
    return sum(counts.faults.values()) / counts.received["judge"]


def test_faults_that_pass_leave_the_table_as_it_is(chat_server: ChatServer, tmp_path: Path, true_scores: Scores):
    chat_server.set(**FAULTY)
    found, _ = scores(chat_server, tmp_path / "verdicts.sqlite")
    assert 0.2 < struck(chat_server) < 0.4
    # What was lost twice is asked once more by the next run.
    while any(item["coverage"] == 0 for item in found):
        before = chat_server.counts().received["judge"]
        found, _ = scores(chat_server, tmp_path / "verdicts.sqlite")
        assert chat_server.counts().received["judge"] > before
    assert found == true_scores


def test_faults_that_last_have_names_and_bounds(chat_server: ChatServer, tmp_path: Path, true_scores: Scores):
    chat_server.set(**FAULTY, fault_lasts=True)
    # Rate limits that last would bring an adaptive client down to one request in flight, behind those that hang.
    found, records = scores(chat_server, tmp_path / "verdicts.sqlite", adaptive=False)
    struck(chat_server)
    for number, (item, true) in enumerate(zip(found, true_scores, strict=True)):
        if item["coverage"]:
            assert item == true
            continue
        generations = records[number * GENERATIONS : (number + 1) * GENERATIONS]
        undecided = [
            (point, record["states"])
            for record in generations
            for point, earned in record["points"].items()
            if earned is None
        ]
        assert undecided
        assert all(State(states[point]) is not State.GRADED for point, states in undecided)
        assert item["full_marks_low"] <= true["full_marks"] <= item["full_marks_high"]
    covered = [item["coverage"] for item in found]
    assert 0.2 < mean(covered) < 1, "some items must be lost, and some not"
    assert {state for record in records for state in record["states"].values()} >= {State.API_FAILED}
    lost = {vote["state"] for record in records for vote in record["votes"]} - {State.GRADED}
    assert lost == {State.API_FAILED, State.PARSE_FAILED, State.REFUSED, State.EMPTY}

    low, high = (mean(item[f"full_marks_{side}"] for item in found) for side in ("low", "high"))
    assert low < high
    assert low <= mean(item["full_marks"] for item in true_scores) <= high

    # The faults pass at last: only what was lost is asked again, and the whole table is the true one.
    chat_server.set(**JUDGE, judge_faults={})
    before = chat_server.counts().received["judge"]
    mended, _ = scores(chat_server, tmp_path / "verdicts.sqlite")
    assert mended == true_scores
    votes = [vote for record in records for vote in record["votes"]]
    asked = chat_server.counts().received["judge"] - before
    assert 0 < asked <= sum(vote["state"] != State.GRADED for vote in votes)
