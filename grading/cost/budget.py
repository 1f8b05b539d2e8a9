"""Caps on the spending of a complete run, kept by reserving the cost of a call before it leaves.

A call leaves when what was spent, what the calls in flight have reserved, and the most that this call may cost
(grading.cost.estimate) stay within the caps. When its reply is there, the reservation gives way to the real usage;
a call that failed gives it back, and one whose usage is not known keeps it. So a cap holds as long as no reply
costs more than its request allows. The first reply that does ends the run, since the other reservations are then
unreliable: only the excess of the calls in flight goes beyond the cap.
"""

from __future__ import annotations

import atexit
import math
import os
import threading
from collections import deque
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from grading.backend import Reply, VoteCall
from grading.cost.estimate import CallEstimator
from grading.cost.ledger import BUDGET_VARIABLE, Ledger
from grading.errors import UserError
from grading.models.price import PRICES_VARIABLE
from grading.models.spec import ModelSpec
from grading.verdict import State, Usage


@dataclass(frozen=True)
class Cost:
    """Tokens, of prompt and completion together, and dollars."""

    tokens: int = 0
    dollars: float = 0.0

    def __add__(self, other: Cost) -> Cost:
        return Cost(self.tokens + other.tokens, self.dollars + other.dollars)

    def __sub__(self, other: Cost) -> Cost:
        return Cost(self.tokens - other.tokens, self.dollars - other.dollars)

    def __str__(self) -> str:
        return f"${self.dollars:.4f} ({self.tokens:,} tokens)" if self.dollars else f"{self.tokens:,} tokens"


_NOTHING = Cost()


class Budget:
    """A cap on the spending of all graders that share it: `max_usd` dollars, `max_tokens` tokens, or neither.

    Several threads may use it at once. Votes from the store cost nothing. With SKILLMIX_BUDGET, `max_usd` caps all
    processes that name the same folder (grading.cost.ledger). UserError for a cap that is not an amount.
    """

    def __init__(self, *, max_usd: float | None = None, max_tokens: int | None = None) -> None:
        caps = {"max_usd": max_usd, "max_tokens": max_tokens}
        for name, cap in caps.items():
            if cap is not None and (isinstance(cap, bool | str) or not 0 <= cap < math.inf):
                raise UserError(f"{name} = {cap} is not a cap: give a finite number from 0, such as 5.")
        self.max_usd = max_usd
        self.max_tokens = max_tokens
        # In words, as settings are written; empty if there is no cap.
        self.caps = " and ".join(f"{name} = {cap}" for name, cap in caps.items() if cap is not None)
        self.spent = _NOTHING
        self.settled = 0  # calls
        self.turned_away = 0  # calls that were never sent
        self.too_large = 0  # replies that cost more than their requests allow
        self._ended_by = ""
        folder = os.environ.get(BUDGET_VARIABLE) if max_usd is not None else None
        self._ledger = ledger = Ledger(Path(folder)) if folder else None
        self._granted = 0.0  # dollars, by the ledger
        if ledger is not None:
            atexit.register(lambda: ledger.close(self.spent.dollars))
        self._reserved = _NOTHING
        self._in_flight = 0
        self._changed = threading.Condition()

    @property
    def ended(self) -> bool:
        """Whether a reply has ended the run."""
        return bool(self._ended_by)

    @property
    def reason(self) -> str:
        """Why calls are refused, in words."""
        shared = f" for all commands with the budget {self._ledger.folder}" if self._ledger else ""
        return self._ended_by or f"{self.caps}{shared} is reached"

    def reserve(self, most: Cost) -> bool:
        """Set the cost `most` aside for one call; False if the call must not leave now."""
        with self._changed:
            if self._ended_by or not self._fits(self._reserved + most):
                return False
            self._reserved += most
            self._in_flight += 1
            return True

    def settle(self, reserved: Cost, spent: Cost) -> None:
        """End a reservation: the call has cost `spent`. One that cost more ends the run."""
        with self._changed:
            if self._exceeds(spent, reserved):
                self.too_large += 1
                self._ended_by = self._ended_by or (
                    f"{self.caps} ended the run, since a reply cost {spent} and its request allows {reserved}"
                )
            self.spent += spent
            self.settled += 1
            self._in_flight -= 1
            # Float sums drift: with nothing in flight, nothing is reserved.
            self._reserved = self._reserved - reserved if self._in_flight else _NOTHING
            self._changed.notify_all()

    def wait_for_more(self, settled: int) -> bool:
        """Wait until more than `settled` calls are settled; False if none is in flight."""
        with self._changed:
            self._changed.wait_for(lambda: self.settled > settled or not self._in_flight)
            return self.settled > settled

    def turn_away(self, calls: int) -> None:
        """Record the number of calls that will not be sent."""
        with self._changed:
            self.turned_away += calls

    def exceeded_by(self, cost: Cost) -> bool:
        """Whether `cost` exceeds the rest of the budget."""
        with self._changed:
            return not self._fits(self._reserved + cost)

    def record(self) -> dict[str, Any] | None:
        """The caps and what the run has spent against them so far, as results carry them."""
        if not self.caps:
            return None
        return {
            "max_usd": self.max_usd,
            "max_tokens": self.max_tokens,
            "run_dollars": None if self.max_usd is None else self.spent.dollars,
            "run_tokens": self.spent.tokens,
            "calls_not_sent": self.turned_away,
            "replies_over_reservation": self.too_large,
        }

    def _exceeds(self, spent: Cost, reserved: Cost) -> bool:
        return (self.max_usd is not None and spent.dollars > reserved.dollars) or (
            self.max_tokens is not None and spent.tokens > reserved.tokens
        )

    def _fits(self, more: Cost) -> bool:
        after = self.spent + more
        if self.max_tokens is not None and after.tokens > self.max_tokens:
            return False
        return self.max_usd is None or after.dollars <= self._most_dollars(self.max_usd, after.dollars)

    def _most_dollars(self, cap: float, needed: float) -> float:
        if self._ledger is None:
            return cap
        if needed > self._granted:
            self._granted = max(self._granted, self._ledger.claim(cap, needed))
        return self._granted


class Gate:
    """The calls of one grader on their way through a budget: iterate to take them, then settle each.

    `waiting` holds those that have not left. An iteration ends when none is waiting or the next one must not
    leave now; once more calls are settled, another iteration may continue.
    """

    def __init__(
        self, calls: Iterable[VoteCall], budget: Budget, spec: ModelSpec, estimator: CallEstimator
    ) -> None:
        self.waiting = deque(calls)
        self.budget = budget
        self._spec = spec
        self._estimator = estimator
        self._out: dict[str, tuple[VoteCall, Cost]] = {}
        self._charged: dict[str, Usage] = {}  # for attempts without a reply, by the call's key
        self._settled_before = 0

    @property
    def ended(self) -> bool:
        """Whether no further call may leave, not even one that was taken already."""
        return self.budget.ended

    def most(self, call: VoteCall) -> Cost:
        """The highest cost of `call`."""
        return cost_of(self._estimator.most(call), self._spec)

    def __iter__(self) -> Iterator[VoteCall]:
        while self.waiting:
            call = self.waiting[0]
            self._settled_before = self.budget.settled
            most = self.most(call) if self.budget.caps else _NOTHING
            if not self.budget.reserve(most):
                return
            self._out[call.key] = self.waiting.popleft(), most
            yield call

    def settle(self, call: VoteCall, reply: Reply) -> Reply:
        """Pay for `call`: its usage, else its reservation; a failed call without usage is free.

        Returns the reply with its usage, estimated if it has none, and with that of attempts that failed.
        """
        _, reserved = self._out.pop(call.key)
        known = reply.usage or reply.state is State.API_FAILED
        self._estimator.learn(call, reply.usage)
        self.budget.settle(reserved, cost_of(reply.usage, self._spec) if known else reserved)
        completed = self._estimator.completed(call, reply)
        charged = self._charged.pop(call.key, None)
        return replace(completed, usage=completed.usage + charged) if charged else completed

    def charge(self, call: VoteCall, usage: Usage) -> bool:
        """Pay `usage` for an attempt at `call`, which stays reserved; False if the budget has no room for both."""
        cost = cost_of(usage, self._spec)
        if not self.budget.reserve(cost):
            return False
        self.budget.settle(cost, cost)
        self._charged[call.key] = self._charged.get(call.key, Usage()) + usage
        return True

    def opens_again(self) -> bool:
        """Whether another iteration may take more calls; waits for calls of other graders that may decide it."""
        return bool(self.waiting) and self.budget.wait_for_more(self._settled_before)

    def close(self) -> None:
        """Release the reservations of calls that were not sent because the run ended, and let them wait."""
        while self._out:
            _, (call, reserved) = self._out.popitem()
            self.waiting.appendleft(call)
            self.budget.settle(reserved, _NOTHING)


def cost_of(usage: Usage, spec: ModelSpec) -> Cost:
    """The cost of `usage`; zero dollars if the price is unknown."""
    return Cost(usage.prompt + usage.completion, spec.price.dollars(usage) if spec.price else 0.0)


def require_price(spec: ModelSpec) -> None:
    """Raise UserError if dollars cannot be counted for `spec`; one in this process costs none."""
    if spec.price is None and spec.kind == "openai":
        price = '`price` of {"input": DOLLARS, "output": DOLLARS} per million tokens'
        own = f"give the judge a {price} (in its fields or the settings), " if spec.role == "judge" else ""
        raise UserError(
            f"{spec.named('max_usd')} needs the price of the {spec.role} {spec.model}, which is not known: {own}"
            f"name a file of prices with {PRICES_VARIABLE}, or cap with {spec.named('max_tokens')}."
        )
