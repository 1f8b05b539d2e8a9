"""The engine against a real server on loopback, which counts what it is asked."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from grading import Criterion, Grader, GradingRequest, State, UngroundedRule, UserError, Verdict, resolve_judge
from grading.backend import VoteCall
from grading.endpoint.chat import failure_in, replies_in
from grading.protocol.parse import read_vote
from tests.servers.chat import ChatServer, expected_marks

pytestmark = pytest.mark.slow

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest("Write about rain.", CRITERIA, f"Rain number {number} fell like a tired drum.")
    for number in range(12)
]


@pytest.fixture
def make_grader(chat_server: ChatServer, tmp_path: Path) -> Callable[..., Grader]:
    def make(ungrounded: UngroundedRule = "no_verdict", **spec) -> Grader:
        judge = resolve_judge(spec.pop("model", "judge-1"), base_url=chat_server.base_url, **spec)
        return Grader(judge, tmp_path / "verdicts.sqlite", concurrency=8, ungrounded=ungrounded)

    return make


def decided(verdicts: list[Verdict]) -> list[dict[str, bool | None]]:
    return [{c: decision.earned for c, decision in verdict.decisions.items()} for verdict in verdicts]


def majority(request: GradingRequest, votes: int = 3) -> dict[str, bool]:
    ids = [criterion.id for criterion in request.criteria]
    marks = [expected_marks(request.answer, ids, seed) for seed in range(votes)]
    return {c: sum(mark[c] for mark in marks) > votes / 2 for c in ids}


def test_verdicts_are_the_majority_of_what_the_judge_said(chat_server: ChatServer, make_grader):
    chat_server.set(judge_latency=0.05)
    grader = make_grader()
    verdicts = grader.grade(REQUESTS, progress=False)
    assert decided(verdicts) == [majority(request) for request in REQUESTS]
    assert len({tuple(sorted(one.items())) for one in decided(verdicts)}) > 1  # the judge is not constant
    for verdict, request in zip(verdicts, REQUESTS, strict=True):
        assert [vote.number for vote in verdict.votes] == [0, 1, 2]
        for vote in verdict.votes:
            for mark in vote.marks.values():
                assert not mark.earned or mark.evidence in request.answer
    counts = chat_server.counts()
    assert counts.received["judge"] == grader.stats.calls == 36
    assert 1 < counts.in_flight_max["judge"] <= 8
    assert grader.stats.usage.prompt == counts.tokens["judge"]["prompt"]
    assert {entry.body["seed"] for entry in chat_server.log("judge")} == {0, 1, 2}


def test_threads_and_event_loops_share_a_grader(chat_server: ChatServer, make_grader):
    grader: Grader = make_grader()

    async def all_at_once() -> list[list[Verdict]]:
        return await asyncio.gather(*(grader.agrade([request]) for request in REQUESTS))

    with ThreadPoolExecutor(4) as pool:
        by_thread = list(pool.map(lambda request: grader.grade([request], progress=False), REQUESTS))
    assert decided([verdict for [verdict] in by_thread]) == [majority(request) for request in REQUESTS]
    for _ in range(2):  # each in a loop of its own
        again = asyncio.run(all_at_once())
        assert decided([verdict for [verdict] in again]) == decided([verdict for [verdict] in by_thread])
    assert chat_server.counts().received["judge"] == 36


def test_a_second_run_asks_nothing(chat_server: ChatServer, make_grader):
    first = make_grader().grade(REQUESTS, progress=False)
    chat_server.reset()
    again = make_grader()
    assert decided(again.grade(REQUESTS, progress=False)) == decided(first)
    assert chat_server.counts().received["judge"] == 0
    assert (again.stats.calls, again.stats.stored, again.stats.usage.prompt) == (0, 36, 0)


def test_equal_answers_to_a_question_are_asked_once(chat_server: ChatServer, make_grader):
    verdicts = make_grader().grade([REQUESTS[0]] * 4, progress=False)
    assert chat_server.counts().received["judge"] == 3
    assert decided(verdicts) == [majority(REQUESTS[0])] * 4


@pytest.mark.parametrize("other", [{"model": "judge-2"}, {"judge_temperature": 1.0}])
def test_another_judge_is_asked_anew(chat_server: ChatServer, make_grader, other):
    make_grader().grade(REQUESTS[:2], progress=False)
    spec = {"model": other["model"]} if "model" in other else {"temperature": 1.0}
    make_grader(**spec).grade(REQUESTS[:2], progress=False)
    assert chat_server.counts().received["judge"] == 12


@pytest.mark.parametrize(
    ("fault", "state"),
    [
        ("refusal", State.REFUSED),
        ("truncated", State.TRUNCATED),
        ("empty", State.EMPTY),
        ("reasoning-only", State.REASONING_ONLY),
        ("wrong-schema", State.PARSE_FAILED),
    ],
)
def test_a_lost_vote_is_asked_again_under_a_new_number(chat_server: ChatServer, make_grader, fault, state):
    chat_server.set(judge_script=[fault])
    grader = make_grader()
    [verdict] = grader.grade(REQUESTS[:1], progress=False)
    assert sorted(vote.number for vote in verdict.votes) == [0, 1, 2, 3]
    assert [vote.state for vote in verdict.votes].count(state) == 1
    assert None not in decided([verdict])[0].values()
    chat_server.reset()  # the bad reply was paid for: it is stored, and not bought again either
    assert decided(make_grader().grade(REQUESTS[:1], progress=False)) == decided([verdict])
    assert chat_server.counts().received["judge"] == 0


def test_false_quotes_earn_nothing(chat_server: ChatServer, make_grader):
    chat_server.set(judge_faults={"false-quote": 1.0}, earn=1.0)
    [verdict] = make_grader().grade(REQUESTS[:1], progress=False)
    assert {decision.state for decision in verdict.decisions.values()} == {State.UNGROUNDED}
    assert set(decided([verdict])[0].values()) == {None}
    assert chat_server.counts().received["judge"] == 6
    # The rule is no part of what the judge was asked: with the other one the stored votes serve, too.
    [verdict] = make_grader(ungrounded="not_earned").grade(REQUESTS[:1], progress=False)
    assert {decision.state for decision in verdict.decisions.values()} == {State.UNGROUNDED}
    assert set(decided([verdict])[0].values()) == {False}
    assert chat_server.counts().received["judge"] == 6 + 3  # as in every run, lost votes are asked again once


def test_passing_failures_are_retried_by_the_client(chat_server: ChatServer, make_grader):
    chat_server.set(judge_faults={"500": 0.3, "429-retry-after": 0.3}, fault_attempts=2, retry_after=0.1)
    verdicts = make_grader().grade(REQUESTS, progress=False)
    assert decided(verdicts) == [majority(request) for request in REQUESTS]


def test_an_endpoint_that_is_gone_ends_in_states_and_costs_little(chat_server: ChatServer, make_grader):
    chat_server.set(fail_all=400)
    grader = make_grader()
    verdicts = grader.grade(REQUESTS, progress=False)
    assert {vote.state for verdict in verdicts for vote in verdict.votes} == {State.API_FAILED}
    assert chat_server.counts().received["judge"] < 36  # it gives up
    chat_server.reset()  # a failure is not stored: the next run asks again
    assert decided(make_grader().grade(REQUESTS, progress=False)) == [majority(r) for r in REQUESTS]


@pytest.mark.parametrize(
    "behaviour",
    [
        {"json_schema": "refuse"},
        {"json_schema": "ignore"},
        {"temperature": "refuse"},
        {"max_tokens": "refuse"},
        {"refuse_params": ["seed"], "json_schema": "refuse", "temperature": "refuse"},
    ],
)
def test_parameters_that_an_endpoint_refuses_are_left_out(chat_server: ChatServer, make_grader, behaviour):
    chat_server.set(**behaviour, earn=1.0)
    verdicts = make_grader().grade(REQUESTS[:4], progress=False)
    assert decided(verdicts) == [{"s1": True, "topic": True}] * 4


def test_it_works_inside_a_running_event_loop(make_grader):
    verdicts: list[Verdict] = []

    async def notebook() -> None:
        verdicts.extend(make_grader().grade(REQUESTS[:1], progress=False))

    asyncio.run(notebook())
    assert decided(verdicts) == [majority(REQUESTS[0])]


def test_text_that_utf_8_cannot_hold_is_judged_all_the_same(chat_server: ChatServer, make_grader):
    chat_server.set(judge_script=[{"content": "\ud800"}])
    [verdict] = make_grader().grade([GradingRequest("", CRITERIA, "Rain \udc00 fell.")], progress=False)
    assert None not in decided([verdict])[0].values()
    assert chat_server.counts().received["judge"] == 4


def completion(**message: object) -> dict[str, object]:
    return {"choices": [{"message": message, "finish_reason": "stop"}], "usage": {"prompt_tokens": "many"}}


VERDICT = '{"s1": {"quote": "Rain", "earned": true}, "topic": {"quote": "Rain", "earned": true}}'


@pytest.mark.parametrize(
    ("body", "state"),
    [
        (json.dumps(completion(content=VERDICT)), State.GRADED),
        (json.dumps(completion(content=[{"type": "text", "text": VERDICT}])), State.GRADED),
        (json.dumps(completion(content=None)), State.EMPTY),
        (json.dumps(completion(content=None, reasoning="Let me see.")), State.REASONING_ONLY),
        (json.dumps(completion(content=" ", reasoning_content=["Let me see."])), State.REASONING_ONLY),
        (json.dumps(completion(content=None, reasoning="", reasoning_content=None)), State.EMPTY),
        (json.dumps(completion(content="", reasoning=f"Yes.\n```json\n{VERDICT}\n```")), State.GRADED),
        (json.dumps(completion(content="", reasoning=f"{VERDICT} But no.")), State.REASONING_ONLY),
        (json.dumps(completion(content=[{"type": "thinking", "thinking": VERDICT}])), State.GRADED),
        (json.dumps(completion(content={"text": VERDICT})), State.GRADED),
        (json.dumps(completion(content=json.loads(VERDICT))), State.GRADED),
        (json.dumps(completion(content={"type": "text", "text": ""})), State.EMPTY),
        (json.dumps(completion(content=VERDICT, reasoning="Let me see.")), State.GRADED),
        (json.dumps(completion(content="{" + '"a": [' * 5000)), State.PARSE_FAILED),
        (json.dumps(completion(content='{"s1": ' + "9" * 5000)), State.PARSE_FAILED),
        (json.dumps({"choices": [{"message": None}], "usage": {}}), State.API_FAILED),
        (json.dumps({"error": {"message": "upstream overloaded"}}), State.API_FAILED),
        (json.dumps({"choices": []}), State.API_FAILED),
        ("null", State.API_FAILED),
    ],
)
def test_whatever_comes_with_status_200_ends_in_a_state(body: str, state: State):
    content = json.loads(body)
    failure = failure_in(content, 200)
    assert (failure is not None) is (state is State.API_FAILED)
    if failure is not None:
        return
    reply = replies_in(content)[0]
    call = VoteCall("k", 0, (), ("s1", "topic"), "Rain.", 0)
    assert read_vote(call, reply).state is state
    assert reply.usage.prompt == 0


def test_an_answer_cannot_make_its_own_verdict_unreadable(make_grader, chat_server: ChatServer):
    chat_server.set(earn=1.0)
    answer = "Rain. " + '{"s1": ' * 3000
    [verdict] = make_grader().grade([GradingRequest("", CRITERIA, answer)], progress=False)
    assert decided([verdict]) == [{"s1": True, "topic": True}]


def test_a_judge_that_is_mended_is_asked_again(chat_server: ChatServer, make_grader):
    chat_server.set(judge_faults={"refusal": 1.0})
    lost = make_grader().grade(REQUESTS[:2], progress=False)
    assert {state for verdict in lost for state in decided([verdict])[0].values()} == {None}
    assert chat_server.counts().received["judge"] == 12
    chat_server.set(judge_faults={})
    again = make_grader().grade(REQUESTS[:2], progress=False)
    assert all(None not in one.values() for one in decided(again))
    assert chat_server.counts().received["judge"] == 12 + 6  # the refusals are kept, and not asked for again
    assert decided(make_grader().grade(REQUESTS[:2], progress=False)) == decided(again)
    assert chat_server.counts().received["judge"] == 12 + 6


def test_a_store_that_fails_while_judging_ends_the_run_in_its_sentence(chat_server: ChatServer, make_grader):
    grader = make_grader()
    grader.close()
    with pytest.raises(UserError, match=r"verdicts\.sqlite cannot be used"):
        grader.grade(REQUESTS, progress=False)


class TestCheck:
    def test_a_good_judge_passes(self, chat_server: ChatServer, make_grader):
        chat_server.set(models=["judge-1"])
        make_grader().check()
        chat_server.set(models_route=False)
        make_grader().check()
        assert chat_server.counts().received["judge"] == 0  # it costs nothing

    def test_an_unknown_model(self, chat_server: ChatServer, make_grader):
        chat_server.set(models=["judge-7", "judge-8"])
        with pytest.raises(UserError, match=r"does not serve the model judge-1.*judge-7, judge-8"):
            make_grader().check()

    def test_an_address_without_its_path(self, chat_server: ChatServer, tmp_path: Path):
        judge = resolve_judge("judge-1", base_url=chat_server.base_url.removesuffix("/v1"))
        with pytest.raises(UserError, match="usually ends in /v1"):
            Grader(judge, tmp_path / "v.sqlite").check()

    def test_a_refused_key(self, chat_server: ChatServer, make_grader):
        chat_server.set(api_key="right")
        with pytest.raises(UserError, match="SKILLMIX_JUDGE_API_KEY"):
            make_grader().check()

    def test_a_judge_that_is_down(self, make_grader, chat_server: ChatServer):
        grader = make_grader()
        chat_server.stop()
        with pytest.raises(UserError, match="cannot be reached"):
            grader.check()

    def test_a_server_in_trouble(self, chat_server: ChatServer, make_grader):
        chat_server.set(fail_all=503)
        with pytest.raises(UserError, match="status 503"):
            make_grader().check()
