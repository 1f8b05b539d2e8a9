"""Several votes in one request, and an endpoint that does not do that."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from grading import Budget, Criterion, Grader, GradingRequest, State, Verdict, resolve_judge
from grading.verdict import Decision
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest("Write about rain.", CRITERIA, f"Rain number {number} fell like a tired drum.")
    for number in range(12)
]


@pytest.fixture
def make_grader(chat_server: ChatServer, tmp_path: Path) -> Callable[..., Grader]:
    def make(store: str = "verdicts", budget: Budget | None = None) -> Grader:
        judge = resolve_judge("judge-1", base_url=chat_server.base_url)
        return Grader(judge, tmp_path / f"{store}.sqlite", concurrency=4, budget=budget)

    return make


def votes_asked(server: ChatServer) -> list[int]:
    return [entry.body.get("n", 1) for entry in server.log("judge")]


@pytest.fixture
def one_by_one(chat_server: ChatServer, make_grader):
    """The verdicts of an endpoint that gives one choice a request."""
    verdicts = make_grader("one by one").grade(REQUESTS, progress=False)
    chat_server.reset()
    chat_server.set(n="honour")
    return verdicts


def decisions(verdicts: list[Verdict]) -> list[dict[str, Decision]]:
    return [verdict.decisions for verdict in verdicts]


def test_the_votes_on_an_answer_go_in_one_request(chat_server: ChatServer, make_grader, one_by_one):
    grader = make_grader()
    verdicts = grader.grade(REQUESTS, progress=False)
    assert votes_asked(chat_server) == [3] * 12
    assert decisions(verdicts) == decisions(one_by_one)
    assert [[vote.reply for vote in one.votes] for one in verdicts] == [
        [vote.reply for vote in one.votes] for one in one_by_one
    ]
    assert grader.stats.refused == set()
    # The prompt of a request is paid for once, whatever the number of votes.
    counted = chat_server.counts().tokens["judge"]
    assert (grader.stats.usage.prompt, grader.stats.usage.completion) == (counted["prompt"], counted["completion"])
    for verdict in verdicts:
        assert all(vote.usage.completion > 0 for vote in verdict.votes)
    grader = make_grader()
    assert decisions(grader.grade(REQUESTS, progress=False)) == decisions(verdicts)
    assert grader.stats.calls == 0


@pytest.mark.parametrize("behaviour", [{"n": "ignore"}, {"refuse_params": ["n"]}])
def test_an_endpoint_with_one_choice_a_request_is_found_out_once(
    chat_server: ChatServer, make_grader, one_by_one, behaviour
):
    chat_server.set(**behaviour)
    grader = make_grader()
    assert decisions(grader.grade(REQUESTS, progress=False)) == decisions(one_by_one)
    refused = "refuse_params" in behaviour  # which costs a request without a reply
    assert votes_asked(chat_server) == [3] + [1] * (36 if refused else 35)
    assert grader.stats.refused == set()  # it does not change what a vote says
    assert grader.stats.calls == 36


@pytest.mark.parametrize(("fault", "state"), [("refusal", State.REFUSED), ("truncated", State.TRUNCATED)])
def test_lost_votes_are_asked_again_together(chat_server: ChatServer, make_grader, one_by_one, fault, state):
    chat_server.set(judge_script=[fault])
    [verdict] = make_grader().grade(REQUESTS[:1], progress=False)
    assert votes_asked(chat_server) == [3, 3]
    assert [vote.state for vote in verdict.votes] == [state] * 3 + [State.GRADED] * 3
    assert all(decision.earned is not None for decision in verdict.decisions.values())


def test_a_cap_is_kept(chat_server: ChatServer, make_grader, one_by_one):
    whole = sum(
        (vote.usage.prompt + vote.usage.completion for verdict in one_by_one for vote in verdict.votes), start=0
    )
    cap = whole // 2
    grader = make_grader(budget=Budget(max_tokens=cap))
    verdicts = grader.grade(REQUESTS, progress=False)
    counted = chat_server.counts().tokens["judge"]
    assert 0 < counted["prompt"] + counted["completion"] <= cap
    states = {vote.state for verdict in verdicts for vote in verdict.votes}
    assert states == {State.GRADED, State.OVER_BUDGET}
    later = make_grader()
    assert decisions(later.grade(REQUESTS, progress=False)) == decisions(one_by_one)
    assert later.stats.calls + grader.stats.calls == 36
    assert grader.stats.calls_without_usage == 0
