"""The client over real HTTP: what is tried again, when, and how many are in flight."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from email.utils import formatdate
from typing import Any

import pytest

from grading import State, resolve_judge
from grading.asker import open_backend
from grading.backend import Reply, VoteCall
from grading.endpoint import transport
from tests.grading.taking import replies_of
from tests.servers.threaded import Handler, serving

pytestmark = pytest.mark.slow

OK: dict[str, Any] = {"choices": [{"message": {"content": "{}"}, "finish_reason": "stop"}]}
Answer = tuple[int, dict[str, str], dict[str, Any]]


@dataclass
class Endpoint:
    """Answers request number n with `answer(n)` after `latency`, and notes when it came and what it asked.

    With `together`, replies after the first wait until that many requests were in flight at once, or for half a
    minute: what is shown of requests in flight then does not rest on how fast the machine is.
    """

    answer: Callable[[int], Answer] = lambda _: (200, {}, OK)
    latency: float = 0.0
    together: int = 0
    came: list[float] = field(default_factory=list)
    bodies: list[dict[str, Any]] = field(default_factory=list)
    connections: set[Any] = field(default_factory=set)
    in_flight: int = 0
    in_flight_max: int = 0
    base_url: str = ""


@pytest.fixture
def endpoint() -> Iterator[Endpoint]:
    told = Endpoint()
    lock = threading.Condition()

    class Counting(Handler):
        def do_POST(self) -> None:  # noqa: N802 - the name that the base class looks for
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            with lock:
                number = len(told.came)
                told.came.append(time.monotonic())
                told.bodies.append(body)
                told.connections.add(self.client_address)
                told.in_flight += 1
                told.in_flight_max = max(told.in_flight_max, told.in_flight)
                lock.notify_all()
            status, headers, content = told.answer(number)
            time.sleep(told.latency if status == 200 else 0)
            with lock:
                if number:
                    lock.wait_for(lambda: told.in_flight_max >= told.together, timeout=30)
                told.in_flight -= 1
            data = json.dumps(content).encode()
            self.send_response(status)
            for name, value in (headers | {"Content-Length": str(len(data))}).items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    with serving(Counting) as port:
        told.base_url = f"http://127.0.0.1:{port}/v1"
        yield told


def ask(endpoint: Endpoint, number: int = 1, *, concurrency: int = 8, adaptive: bool = True) -> list[Reply]:
    """The replies to `number` calls, in the order in which they came."""
    judge = resolve_judge("judge", base_url=endpoint.base_url)
    calls = [VoteCall(str(n), n, ({"role": "user", "content": str(n)},), ("c",), "text", n) for n in range(number)]
    replies = [reply for _, reply in replies_of(open_backend(judge, concurrency, adaptive=adaptive), calls)]
    assert len(replies) == number
    return replies


def failing(status: int, headers: dict[str, str] | None = None, **error: str) -> Answer:
    return status, headers or {}, {"error": {"message": "no", **error}}


@pytest.mark.parametrize("status", [401, 402, 403, 404])
def test_what_cannot_succeed_later_is_tried_once(endpoint: Endpoint, status):
    endpoint.answer = lambda _: failing(status)
    [reply] = ask(endpoint)
    assert reply.state is State.API_FAILED
    assert reply.detail == f'{status} "no"'
    assert len(endpoint.came) == 1


@pytest.mark.parametrize("kind", ["code", "type"])
def test_an_account_without_money_is_asked_once(endpoint: Endpoint, kind):
    endpoint.answer = lambda _: failing(429, {"Retry-After": "1"}, **{kind: "insufficient_quota"})
    [reply] = ask(endpoint)
    assert reply.state is State.API_FAILED
    assert len(endpoint.came) == 1


@pytest.mark.parametrize("status", [408, 409, 429, 500, 502, 503, 504])
def test_what_can_succeed_later_is_tried_again(endpoint: Endpoint, status):
    endpoint.answer = lambda number: failing(status, {"Retry-After": "0.05"}) if number < 2 else (200, {}, OK)
    [reply] = ask(endpoint)
    assert reply.state is State.GRADED
    assert len(endpoint.came) == 3


def test_tries_are_bounded_in_number(endpoint: Endpoint):
    endpoint.answer = lambda _: failing(500, {"Retry-After": "0.01"})
    [reply] = ask(endpoint)
    assert reply.state is State.API_FAILED
    assert len(endpoint.came) == 5  # six, once a request was answered


def test_tries_are_bounded_in_time(endpoint: Endpoint, monkeypatch):
    monkeypatch.setattr(transport, "_PATIENCE", 3.0)
    endpoint.answer = lambda number: failing(429, {"Retry-After": "600" if number else "0.1"})
    begin = time.monotonic()
    [reply] = ask(endpoint)
    assert reply.state is State.API_FAILED
    assert len(endpoint.came) == 2
    assert time.monotonic() - begin < 100  # a try that would come too late is not waited for


def test_a_reply_that_does_not_come_is_asked_for_again(endpoint: Endpoint, monkeypatch):
    monkeypatch.setattr(transport, "_TIMEOUT", 1.0)

    def answer(number: int) -> Answer:
        endpoint.latency = 2.0 if number == 0 else 0.0
        return 200, {}, OK

    endpoint.answer = answer
    [reply] = ask(endpoint)
    assert reply.state is State.GRADED
    assert len(endpoint.came) == 2


@pytest.mark.parametrize("adaptive", [True, False])
@pytest.mark.parametrize("form", ["seconds", "date"])
def test_retry_after_is_waited_for_in_both_forms(endpoint: Endpoint, form, adaptive):
    # A date has whole seconds: two from now are between one and two.
    def answer(number: int) -> Answer:
        told = "1" if form == "seconds" else formatdate(time.time() + 2, usegmt=True)
        return failing(429, {"Retry-After": told}) if number == 0 else (200, {}, OK)

    endpoint.answer = answer
    assert [reply.state for reply in ask(endpoint, adaptive=adaptive)] == [State.GRADED]
    first, second = endpoint.came
    assert 0.98 < second - first < 10


def test_after_the_first_refusal_nobody_asks_before_the_time(endpoint: Endpoint):
    endpoint.answer = lambda number: failing(429, {"Retry-After": "3"}) if number == 6 else (200, {}, OK)
    endpoint.latency = 0.05
    ask(endpoint, 30)
    refused = endpoint.came[6]
    assert not [came for came in endpoint.came if refused + 1.5 < came < refused + 2.95]
    assert len(endpoint.came) == 31


def test_a_spent_budget_in_the_headers_is_waited_for(endpoint: Endpoint):
    def answer(number: int) -> Answer:
        spent = number == 0
        headers = {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "2s"}
        return 200, headers if spent else {}, OK

    endpoint.answer = answer
    ask(endpoint, 3, concurrency=1)
    assert endpoint.came[1] - endpoint.came[0] > 1.95
    assert endpoint.came[2] - endpoint.came[1] < 1.9


def test_adaptive_mode_starts_with_few_and_grows_within_the_bound(endpoint: Endpoint):
    endpoint.latency = 0.2
    ask(endpoint, 240, concurrency=24)
    first, second = endpoint.came[:2]
    assert second > first + 0.2  # the first finds out which parameters are taken
    assert sum(came < second + 0.15 for came in endpoint.came[1:]) < 10
    assert 6 < endpoint.in_flight_max <= 24  # test_throttle shows in virtual time how far and how soon


def test_fixed_mode_has_the_bound_in_flight_after_the_first_reply(endpoint: Endpoint):
    endpoint.latency, endpoint.together = 0.2, 24
    ask(endpoint, 60, concurrency=24, adaptive=False)
    first, second = endpoint.came[:2]
    assert second > first + 0.2
    assert endpoint.in_flight_max == 24


def test_fixed_mode_does_not_start_all_at_once(endpoint: Endpoint):
    endpoint.latency = 1.0
    ask(endpoint, 101, concurrency=100, adaptive=False)
    assert endpoint.came[100] > endpoint.came[1] + 0.3


def test_a_few_calls_do_not_wait_for_workers_that_have_none(endpoint: Endpoint):
    endpoint.latency = 0.2
    begun = time.process_time()
    ask(endpoint, 5, concurrency=9_000, adaptive=False)
    assert time.process_time() < begun + 0.4  # to start 9,000 takes twice that


def test_adaptive_mode_backs_off(endpoint: Endpoint):
    """Refused whatever goes beyond eight in flight, it soon stays there."""
    endpoint.latency = 0.2
    endpoint.answer = lambda _: failing(429) if endpoint.in_flight > 8 else (200, {}, OK)
    assert {reply.state for reply in ask(endpoint, 100, concurrency=64)} == {State.GRADED}
    # Twenty on a quiet machine; test_throttle counts them exactly, in virtual time.
    assert len(endpoint.came) - 100 < 80
    assert endpoint.in_flight_max < 48


def test_one_connection_for_each_place_in_flight_serves_the_whole_run(endpoint: Endpoint):
    endpoint.latency, endpoint.together = 0.02, 12
    ask(endpoint, 120, concurrency=12, adaptive=False)
    assert len(endpoint.connections) == 12


def test_calls_leave_in_their_order(endpoint: Endpoint):
    endpoint.latency = 0.2
    ask(endpoint, 60, concurrency=6)
    order = [int(body["messages"][0]["content"]) for body in endpoint.bodies]
    assert all(abs(place - number) < 6 for place, number in enumerate(order))


def test_a_fault_of_the_endpoint_ends_the_run_early(endpoint: Endpoint):
    endpoint.answer = lambda number: failing(401) if number > 20 else (200, {}, OK)
    replies = ask(endpoint, 500)
    assert [reply.state for reply in replies].count(State.API_FAILED) == 500 - 21
    assert len(endpoint.came) <= 21 + 2 * 8
