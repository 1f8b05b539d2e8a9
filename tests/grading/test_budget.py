"""What a run may spend, against a server that counts what it is asked."""

from __future__ import annotations

import json
import logging
import sqlite3
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from grading import (
    Budget,
    Criterion,
    Grader,
    GradingRequest,
    Price,
    State,
    Usage,
    UserError,
    Verdict,
    resolve_judge,
)
from grading.backend import Reply, VoteCall
from grading.cost.budget import Cost, Gate
from grading.cost.estimate import CallEstimator
from grading.cost.stats import total
from grading.protocol.prompt import build_messages
from tests.servers.chat import ChatServer

pytestmark = pytest.mark.slow

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest(
        "Write about rain.", CRITERIA, f"Rain number {number}" + " fell like a tired drum" * (number % 7)
    )
    for number in range(40)
]
VOTES = 3 * len(REQUESTS)
IDS = tuple(criterion.id for criterion in CRITERIA)
MAX_TOKENS = 32  # of one reply; the server's have about 20
PRICE = {"input": 2.0, "cached_input": 0.5, "output": 8.0}
DECIDED = dict[str, bool | None]


@dataclass
class Money:
    """Makes graders and asks the server what they have cost."""

    server: ChatServer
    store: Path

    def grader(self, concurrency: int = 8, budget: Budget | None = None, **spec: object) -> Grader:
        given = {"model": "judge-1", "price": PRICE, "max_tokens": MAX_TOKENS} | spec
        judge = resolve_judge(given, base_url=self.server.base_url)
        return Grader(judge, self.store, concurrency=concurrency, budget=budget)

    def tokens(self) -> int:
        tokens = self.server.counts().tokens["judge"]
        return tokens["prompt"] + tokens["completion"]

    def dollars(self) -> float:
        tokens = self.server.counts().tokens["judge"]
        return Price.model_validate(PRICE).dollars(Usage(tokens["prompt"], tokens["completion"], tokens["cached"]))

    def most(self) -> Usage:
        """What a call may use, by the bytes of its messages and of its schema."""
        call = a_call()
        messages = [build_messages(request) for request in REQUESTS]
        sizes = [CallEstimator(MAX_TOKENS).most(replace(call, messages=one, criteria=IDS)) for one in messages]
        return max(sizes, key=lambda usage: usage.prompt)

    def stored(self) -> int:
        with sqlite3.connect(self.store) as db:
            [number] = db.execute("SELECT COUNT(*) FROM replies").fetchone()
        return int(number)


@pytest.fixture
def money(chat_server: ChatServer, tmp_path: Path) -> Money:
    chat_server.set(judge_latency=0.02)
    return Money(chat_server, tmp_path / "verdicts.sqlite")


def decided(verdicts: list[Verdict]) -> list[DECIDED]:
    return [{c: decision.earned for c, decision in verdict.decisions.items()} for verdict in verdicts]


def not_asked(verdicts: list[Verdict]) -> int:
    return sum(vote.state is State.OVER_BUDGET for verdict in verdicts for vote in verdict.votes)


@pytest.mark.parametrize("concurrency", [1, 8, 64])
@pytest.mark.parametrize("cap", [2_000, 5_000, 16_000])
def test_tokens_do_not_pass_the_cap(money: Money, cap: int, concurrency: int):
    grader = money.grader(concurrency, Budget(max_tokens=cap))
    verdicts = grader.grade(REQUESTS, progress=False)
    spent, calls = money.tokens(), money.server.counts().received["judge"]
    assert spent == grader.budget.spent.tokens
    most = money.most()
    assert cap - (most.prompt + most.completion) < spent <= cap
    assert 0 < not_asked(verdicts) == VOTES - calls == grader.stats.states["over_budget"]
    assert grader.stats.calls == money.stored() == calls
    record = grader.record()["budget"]
    assert record == {
        "max_usd": None,
        "max_tokens": cap,
        "run_dollars": None,
        "run_tokens": spent,
        "calls_not_sent": VOTES - calls,
        "replies_over_reservation": 0,
    }


@pytest.mark.parametrize(("cap", "concurrency"), [(0.006, 1), (0.012, 8), (0.024, 32)])
def test_dollars_do_not_pass_the_cap(money: Money, cap: float, concurrency: int):
    grader = money.grader(concurrency, Budget(max_usd=cap))
    verdicts = grader.grade(REQUESTS, progress=False)
    call = Price.model_validate(PRICE).dollars(money.most())
    assert money.dollars() == pytest.approx(grader.budget.spent.dollars)
    assert cap - call < money.dollars() <= cap
    assert not_asked(verdicts) > 0
    assert grader.record()["spent"]["dollars"] == pytest.approx(money.dollars())


def test_the_first_requests_get_their_verdicts_first(money: Money):
    verdicts = money.grader(4, Budget(max_tokens=8_000)).grade(REQUESTS, progress=False)
    whole = [all(earned is not None for earned in one.values()) for one in decided(verdicts)]
    assert 0 < sum(whole) < len(REQUESTS)
    assert whole == sorted(whole, reverse=True)
    states = {decision.state for verdict in verdicts for decision in verdict.decisions.values()}
    assert states == {State.GRADED, State.OVER_BUDGET}


def test_a_later_run_pays_for_the_rest_only(money: Money):
    capped = money.grader(8, Budget(max_tokens=10_000))
    capped.grade(REQUESTS, progress=False)
    bought = capped.stats.calls
    rest = money.grader(8, Budget(max_tokens=1_000_000))
    verdicts = rest.grade(REQUESTS, progress=False)
    assert (rest.stats.stored, rest.stats.calls) == (bought, VOTES - bought)
    assert money.server.counts().received["judge"] == VOTES
    assert not_asked(verdicts) == 0
    assert rest.record()["saved"] == capped.record()["spent"]
    assert rest.budget.spent.tokens == money.tokens() - capped.budget.spent.tokens
    money.store = money.store.with_name("other.sqlite")
    assert decided(verdicts) == decided(money.grader().grade(REQUESTS, progress=False))


def test_stored_votes_are_free_under_a_cap_that_is_used_up(money: Money):
    verdicts = money.grader().grade(REQUESTS[:5], progress=False)
    again = money.grader(8, Budget(max_usd=0.0, max_tokens=0)).grade(REQUESTS[:6], progress=False)
    assert decided(again)[:5] == decided(verdicts)
    assert set(decided(again)[5].values()) == {None}
    assert money.server.counts().received["judge"] == 15


def test_lost_votes_are_asked_again_within_the_cap(money: Money):
    money.server.set(judge_faults={"refusal": 1.0})
    grader = money.grader(8, Budget(max_tokens=20_000))
    verdicts = grader.grade(REQUESTS, progress=False)
    assert money.tokens() <= 20_000
    states = {vote.state for verdict in verdicts for vote in verdict.votes}
    assert states == {State.REFUSED, State.OVER_BUDGET}


def test_graders_in_several_threads_share_one_budget(money: Money):
    budget = Budget(max_tokens=12_000)
    graders = [money.grader(8, budget) for _ in range(3)]
    parts = [REQUESTS[start::3] for start in range(3)]
    lost: list[int] = []

    def grade(grader: Grader, requests: list[GradingRequest]) -> None:
        lost.append(not_asked(grader.grade(requests, progress=False)))

    threads = [threading.Thread(target=grade, args=pair) for pair in zip(graders, parts, strict=True)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert len(lost) == 3
    assert money.tokens() == budget.spent.tokens
    most = money.most()
    assert 12_000 - (most.prompt + most.completion) < money.tokens() <= 12_000
    assert sum(lost) == VOTES - money.server.counts().received["judge"] == budget.turned_away


def test_calls_that_fail_cost_nothing(money: Money):
    budget = Budget(max_tokens=5_000)
    money.server.set(fail_all=400)
    verdicts = money.grader(8, budget).grade(REQUESTS, progress=False)
    assert {vote.state for verdict in verdicts for vote in verdict.votes} == {State.API_FAILED}
    assert budget.spent == Cost()
    money.server.reset()
    money.grader(8, budget).grade(REQUESTS, progress=False)
    most = money.most()
    assert money.tokens() > 5_000 - (most.prompt + most.completion)


def test_an_interrupted_grader_gives_back_what_it_reserved(money: Money, monkeypatch: pytest.MonkeyPatch):
    budget = Budget(max_tokens=30_000)
    grader = money.grader(8, budget)
    written = 0

    def write(*_: object) -> None:
        nonlocal written
        written += 1
        if written == 3:
            raise UserError("no space")

    monkeypatch.setattr(grader._asker._store, "add", write)
    with pytest.raises(UserError, match="no space"):
        grader.grade(REQUESTS, progress=False)
    assert budget._reserved == Cost()
    assert budget.reserve(Cost(30_000 - budget.spent.tokens))


def test_the_estimate_is_logged_before_the_first_call(money: Money, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.INFO, "grading")
    money.grader().grade(REQUESTS[:4], progress=False)
    caplog.clear()
    grader = money.grader(8, Budget(max_usd=0.006))
    money.server.set(hold_after=0)
    thread = threading.Thread(target=grader.grade, args=(REQUESTS,), kwargs={"progress": False})
    thread.start()
    money.server.wait(lambda counts: counts.held > 0)
    told = [record.getMessage() for record in caplog.records if record.name == "grading.asker"]
    money.server.release()
    thread.join(60)
    assert told[0].startswith(f"judge-1: {VOTES - 12} votes to request (12 more are stored), about ")
    estimate = grader.record()["estimate"]
    assert f"about {estimate['prompt_tokens']:,} prompt and {estimate['completion_tokens']:,}" in told[0]
    assert f"about ${estimate['dollars']:.2f} and at most $" in told[0]
    assert told[1] == "This estimate is above max_usd = 0.006: the run will stop at the cap."
    assert "max_usd = 0.006 is reached" in caplog.text


def test_the_estimate_is_near_what_is_spent_once_there_are_replies(money: Money):
    money.grader().grade(REQUESTS[:10], progress=False)
    grader = money.grader()
    grader.grade(REQUESTS, progress=False)
    record = grader.record()
    assert record["estimate"]["calls"] == record["calls"] == VOTES - 30
    for what in ("prompt_tokens", "completion_tokens"):
        assert record["estimate"][what] == pytest.approx(record["spent"][what], rel=0.1)


def test_dollars_without_a_price_are_refused_in_one_sentence(money: Money):
    with pytest.raises(UserError, match=r"max_usd needs the price of the judge judge-1.*`price`.*SKILLMIX_PRICES"):
        money.grader(8, Budget(max_usd=1.0), price=None)
    money.grader(8, Budget(max_tokens=1), price=None)
    local = resolve_judge("hf:somewhere")
    Grader(local, money.store, budget=Budget(max_usd=1.0))  # costs no dollars


# -- without a server


def a_call(answer: str = "It rained.", criteria: tuple[str, ...] = ("a", "b")) -> VoteCall:
    messages = ({"role": "system", "content": "You mark texts."}, {"role": "user", "content": answer})
    return VoteCall(f"key of {answer}", 0, messages, criteria, answer, 0)


def test_before_any_reply_a_call_counts_by_bytes_and_criteria():
    call = a_call("x" * 385)  # with the system message 400 bytes
    assert CallEstimator(1024).expected(call) == Usage(100, 60)
    assert CallEstimator(50).expected(call) == Usage(100, 50)
    most = CallEstimator(1024).most(call)
    assert most.completion == 1024
    assert most.prompt > 400
    assert CallEstimator(1024).most(a_call("语" * 100)).prompt > 300  # no tokenizer goes below a byte


def test_replies_correct_the_expectation_and_not_the_bound():
    estimator = CallEstimator(1024)
    call = a_call("x" * 385)
    bound = estimator.most(call)
    for number in range(99):
        estimator.learn(call, Usage(200, 20 + number % 2 * 20))
        estimator.learn(call, Usage())  # tells nothing
    assert estimator.expected(call) == Usage(200, 30)
    assert estimator.most(call) == bound


def test_a_reply_without_usage_counts_by_its_text_and_against_the_cap_with_its_reservation():
    estimator = CallEstimator(1024)
    budget = Budget(max_tokens=10_000)
    judge = resolve_judge({"model": "m", "price": PRICE}, base_url="http://127.0.0.1:9/v1")
    gate = Gate([a_call("x" * 385)], budget, judge, estimator)
    [call] = gate
    reply = Reply(State.GRADED, "y" * 80)
    gate.settle(call, reply)
    most = estimator.most(call)
    assert budget.spent.tokens == most.prompt + most.completion
    assert estimator.completed(call, reply) == replace(reply, usage=Usage(100, 20), estimated=True)
    spent = replace(reply, state=State.REASONING_ONLY, text="")
    assert estimator.completed(call, spent).usage == Usage(100, 1024)
    failed = Reply(State.API_FAILED)
    assert estimator.completed(call, failed) == failed


def test_a_gate_waits_for_the_calls_of_others():
    budget = Budget(max_tokens=2_000)
    judge = resolve_judge("m", base_url="http://127.0.0.1:9/v1")
    assert budget.reserve(Cost(1_500))
    gate = Gate([a_call()], budget, judge, CallEstimator(1024))
    assert list(gate) == []
    timer = threading.Timer(0.2, budget.settle, (Cost(1_500), Cost(100)))
    timer.start()
    assert gate.opens_again()
    assert len(list(gate)) == 1
    assert not gate.opens_again()  # there is nothing more to take


def test_a_cap_that_nobody_can_free_ends_the_waiting():
    gate = Gate(
        [a_call()],
        Budget(max_tokens=10),
        resolve_judge("m", base_url="http://127.0.0.1:9/v1"),
        CallEstimator(1024),
    )
    assert list(gate) == []
    assert not gate.opens_again()


class TestPrices:
    @pytest.fixture
    def price_file(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
        def write(text: str) -> None:
            (tmp_path / "prices.yaml").write_text(text)
            monkeypatch.setenv("SKILLMIX_PRICES", str(tmp_path / "prices.yaml"))

        return write

    def test_a_price_belongs_to_a_provider_and_a_model(self):
        assert resolve_judge("gpt-4.1-mini-2025-04-14").price == Price(
            input=0.4,
            cached_input=0.1,
            output=1.6,
            batch=0.5,
            date="2025-04-14",  # type: ignore[arg-type]
            source="OpenAI, Introducing GPT-4.1 in the API",
        )
        assert resolve_judge("gpt-4.1-mini-2025-04-14", base_url="http://elsewhere/v1").price is None

    def test_the_users_file_adds_and_overrides(self, price_file):
        price_file(
            "prices:\n"
            "- {provider: localhost, model: mine, input: 1, output: 2}\n"
            "- {provider: openai, model: gpt-6-luna, input: 3, output: 4}\n"
        )
        mine = resolve_judge("mine", base_url="http://localhost:8000/v1").price
        assert mine is not None
        assert mine.dollars(Usage(1_000_000, 1_000_000, 500_000)) == 3  # cached costs the same
        luna = resolve_judge("gpt-6-luna").price
        assert luna is not None
        assert (luna.input, luna.output) == (3, 4)
        assert resolve_judge("gpt-4.1-2025-04-14").price is not None

    def test_the_judges_own_price_comes_first(self):
        own = resolve_judge({"model": "gpt-6-luna", "price": {"input": 7, "output": 8}}).price
        assert own == Price(input=7, output=8, batch=0.5)  # what OpenAI asks for batches it asks of every model

    @pytest.mark.parametrize(
        "text", ["", "x: 1", "prices: 3", "prices: [{model: m, input: 1, output: 2}]", "prices: ["]
    )
    def test_a_wrong_file_is_one_sentence(self, price_file, text: str):
        price_file(text)
        with pytest.raises(UserError, match=r"price file .*prices.yaml \(SKILLMIX_PRICES\) cannot be used"):
            resolve_judge("m")

    def test_prices_are_in_results(self, money: Money):
        record = money.grader().record()
        assert record["price"]["source"] == "given by the user"
        json.dumps(record)


def test_records_of_several_ranks_are_added_up(money: Money):
    records = []
    for requests in (REQUESTS[:2], REQUESTS[2:5]):
        grader = money.grader(8, Budget(max_usd=0.5))
        grader.grade(requests, progress=False)
        records.append(grader.record())
    both = total(records)
    assert both is not None
    assert both["calls"] == 15
    assert both["spent"]["dollars"] == pytest.approx(money.dollars())
    assert both["price"] == records[0]["price"]
    assert both["budget"]["max_usd"] == 1.0
    assert both["budget"]["max_tokens"] is None
    assert both["vote_states"] == {"graded": 15}
    unpriced = total([records[0], money.grader(price=None).record()])
    assert unpriced is not None
    assert unpriced["spent"]["dollars"] is None
    assert unpriced["spent"]["prompt_tokens"] == records[0]["spent"]["prompt_tokens"]
    assert total([]) is None
