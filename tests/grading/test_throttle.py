"""The throttle against endpoints with limits of several kinds, in virtual time."""

from __future__ import annotations

import asyncio
import random
from dataclasses import dataclass, field

import pytest

from grading.endpoint.rate_headers import Quota
from grading.endpoint.throttle import Throttle
from tests.grading.virtual_time import run_in_virtual_time


@dataclass
class Endpoint:
    """Accepts what a token bucket and a bound on the requests in flight allow; inf for no limit."""

    latency: float
    rate: float = float("inf")
    burst: float = 50.0
    most: float = float("inf")
    retry_after: float | None = None
    in_flight: int = 0
    in_flight_max: int = 0
    refused: int = 0
    arrivals: list[float] = field(default_factory=list)
    tokens: float = 0.0
    filled: float = 0.0

    def __post_init__(self) -> None:
        self.tokens = self.burst

    async def ask(self) -> bool:
        now = asyncio.get_running_loop().time()
        self.arrivals.append(now)
        if self.rate < float("inf"):
            self.tokens = min(self.burst, self.tokens + (now - self.filled) * self.rate)
            self.filled = now
            if self.tokens < 1:
                return await self._refuse()
            self.tokens -= 1
        if self.in_flight >= self.most:
            return await self._refuse()
        self.in_flight += 1
        self.in_flight_max = max(self.in_flight_max, self.in_flight)
        await asyncio.sleep(self.latency * random.uniform(0.7, 1.3))
        self.in_flight -= 1
        return True

    async def _refuse(self) -> bool:
        self.refused += 1
        await asyncio.sleep(0.002)
        return False


def seconds_for(number: int, endpoint: Endpoint, *, bound: int = 200, adaptive: bool = True) -> float:
    """How long `number` requests take through a throttle; each is repeated until it is taken."""

    async def main() -> float:
        throttle, numbers = Throttle(bound, adaptive=adaptive), iter(range(number))

        async def worker() -> None:
            for _ in numbers:
                for attempt in range(100):
                    sent = await throttle.enter()
                    taken = await endpoint.ask()
                    throttle.leave()
                    if taken:
                        throttle.accepted(sent)
                        break
                    throttle.refused(sent, endpoint.retry_after)
                    backoff = random.uniform(0, min(30, 0.5 * 2**attempt))
                    await asyncio.sleep(backoff if endpoint.retry_after is None else endpoint.retry_after)

        await asyncio.gather(*(worker() for _ in range(bound)))
        return asyncio.get_running_loop().time()

    random.seed(7)
    return run_in_virtual_time(main())


def test_it_starts_with_few_and_grows_to_the_bound():
    endpoint = Endpoint(latency=1.0)
    taken = seconds_for(1000, endpoint, bound=64)
    assert sum(arrival < 0.7 for arrival in endpoint.arrivals) == 4  # until the first reply
    assert endpoint.in_flight_max == 64
    assert taken < 1000 / 64 + 8  # which is soon


def test_fixed_mode_has_the_bound_in_flight_at_once_and_always():
    endpoint = Endpoint(latency=1.0)
    seconds_for(1000, endpoint, bound=64, adaptive=False)
    assert endpoint.arrivals[63] == 0
    assert endpoint.in_flight_max == 64


@pytest.mark.parametrize("burst", [5.0, 50.0])
@pytest.mark.parametrize("retry_after", [None, 1.0, 0.02])
@pytest.mark.parametrize("latency", [0.1, 0.5])
def test_it_finds_a_limit_on_the_rate_and_stays_below_it(burst, retry_after, latency):
    endpoint = Endpoint(latency, rate=50.0, burst=burst, retry_after=retry_after)
    taken = seconds_for(2000, endpoint)
    assert 2000 / taken > 0.85 * 50
    assert endpoint.refused / len(endpoint.arrivals) <= 0.05


def test_it_finds_a_limit_on_the_number_in_flight():
    endpoint = Endpoint(latency=2.0, most=20)
    taken = seconds_for(1000, endpoint)
    assert 1000 / taken > 0.75 * 20 / 2.0
    assert endpoint.refused / len(endpoint.arrivals) < 0.05


def test_an_endpoint_that_refuses_without_a_limit_slows_it_but_not_to_a_halt():
    class Moody(Endpoint):
        async def ask(self) -> bool:
            return await super().ask() if random.random() < 0.8 else await self._refuse()

    assert seconds_for(300, Moody(latency=0.2)) < 300 / 2


def replies(throttle: Throttle, requests: Quota | None, tokens: Quota | None) -> list[float]:
    """When ten requests leave after the first reply brought these quotas."""

    async def main() -> list[float]:
        sent = await throttle.enter()
        await asyncio.sleep(0.01)
        throttle.leave()
        throttle.accepted(sent)
        throttle.used(100)
        throttle.advised(requests, tokens)
        return [await throttle.enter() - sent for _ in range(10)]

    return run_in_virtual_time(main())


def test_a_spent_budget_of_requests_or_tokens_closes_the_gate_until_it_is_whole():
    assert min(replies(Throttle(20, adaptive=True), Quota(0, 7.0, 60), None)) == pytest.approx(7.01)
    assert min(replies(Throttle(20, adaptive=True), None, Quota(60, 3.0, 60_000))) == pytest.approx(3.01)


def test_a_budget_that_is_nearly_spent_sets_the_pace_at_which_it_fills():
    half_a_minute = Quota(30, 30.0, 60)  # one a second
    left = replies(Throttle(20, adaptive=True), half_a_minute, None)
    assert (left[-1] - left[1]) / 8 == pytest.approx(1.0, rel=0.05)
    tokens = Quota(3_000, 30.0, 6_000)  # 100 tokens, which is a request, a second
    left = replies(Throttle(20, adaptive=True), None, tokens)
    assert (left[-1] - left[1]) / 8 == pytest.approx(1.0, rel=0.05)


def test_a_budget_with_much_left_and_the_fixed_mode_wait_for_nothing():
    assert max(replies(Throttle(20, adaptive=True), Quota(5000, 30.0, 6000), None)) < 1
    assert max(replies(Throttle(20, adaptive=False), Quota(0, 30.0, 60), None)) < 0.1
