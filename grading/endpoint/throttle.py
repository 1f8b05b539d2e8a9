"""How many requests are in flight, and how fast they follow one another.

Little's law ties the two together, and the pace is what can be steered finely: 50 requests a second at a
latency of 0.1 s are 5 in flight, and neither 4 nor 6 will do. So the pace is what adapts. A few requests go out
first; when one was taken, the pace doubles with every round of replies until the first refusal. From then on
the pace that was refused is known, and the next one follows a cubic curve (as TCP CUBIC and the adaptive mode
of AWS's clients do): fast back to near it, flat around it, then faster again in case the limit is gone. The
number in flight at a refusal follows such a curve too, for servers that count that.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections import deque
from contextlib import suppress

from grading.endpoint.rate_headers import Quota
from grading.errors import UserError

MOST_IN_FLIGHT = 10_000  # each has a task and a connection of its own
_FIRST = 4  # in flight until the first reply
_FASTEST_START = 30.0  # requests a second after it, or two rounds of replies, whichever is less
_DOUBLING = (0.25, 1.0)  # seconds, at least and at most, in which the pace then doubles; else the latency
_SLOWEST = 4.0  # requests a second to which refusals can slow it; some endpoints refuse at any pace
_PROBE = 2.0  # seconds, at least, until a refused value is tried again
_SETTLE = 0.5  # seconds until a change shows in the replies
_SAME = 1.25  # a factor within which two refused paces are the same limit
_WINDOW = 1.0  # seconds over which the most in flight are counted
_MEASURED = 10  # requests by which the present pace is measured
_CATCH_UP = 0.01  # seconds by which a late wake-up may be made good
_PAUSE = 0.5  # seconds, about, for which the throttle closes if the endpoint does not say how long
_SHORTEST_PAUSE = 0.2
_LONGEST_PAUSE = 120.0
_BELIEVED = 600.0  # seconds until a limit is reset; no run waits longer, and clocks go wrong
_SILENT = 10.0  # seconds for which a run may stand still without a line in the log
_RECENT = 20  # replies by which it is judged whether the endpoint is open
_LONE = 5  # refusals among them that say "a little too fast" and not "closed"

logger = logging.getLogger(__name__)


class _Curve:
    """The allowed use of a limited resource over time; unlimited until the first `fall`.

    A fall names the value that was refused, `top`, and the value to continue with, `low`. The curve comes back to
    `top` after the probe's time, which is short at first, when little is known, and doubles whenever the same
    value is refused again: then it is the limit.
    """

    def __init__(self, longest_probe: float) -> None:
        self._top = math.inf
        self._low = math.inf
        self._since = 0.0
        self._probe = 0.0
        self._longest_probe = longest_probe

    def fall(self, top: float, low: float, now: float, shortest_probe: float) -> None:
        same = top / _SAME < self._top < top * _SAME
        self._probe = min(2 * self._probe if same else 0.0, self._longest_probe)
        self._probe = max(self._probe, shortest_probe)
        self._top, self._low, self._since = top, low, now

    def hold(self, until: float) -> None:
        """Start the climb no earlier: while nothing is sent, nothing is learned."""
        self._since = max(self._since, until)

    def value(self, now: float) -> float:
        if math.isinf(self._top):
            return math.inf
        time = max(0.0, now - self._since)
        return float(self._top + (self._top - self._low) * (time / self._probe - 1) ** 3)


class Throttle:
    """Lets requests out, first come first served, `bound` at most at a time.

    With `adaptive` fewer are let out as the endpoint's replies demand; without it the bound alone counts.
    Every `enter` is followed by one `leave`, and then by `accepted` or `refused` if a reply came. What was
    learned of the endpoint serves one event loop after another; each begins with `open`. UserError if `bound` is
    more than MOST_IN_FLIGHT.
    """

    def __init__(self, bound: int, *, adaptive: bool) -> None:
        if bound > MOST_IN_FLIGHT:
            raise UserError(f"{bound} requests in flight are too many: {MOST_IN_FLIGHT:,} are the most.")
        self.bound = bound
        self.adaptive = adaptive
        self.open()
        self._proved = math.inf  # when the first reply came
        self.latency = 0.0  # seconds, of that reply
        self._most = _Curve(longest_probe=5.0)
        self._pace = _Curve(longest_probe=12.0)
        self._told_pace = math.inf  # by the headers
        self._next = 0.0  # the earliest time of the next request
        self._closed_until = 0.0
        self._backed_off = -math.inf  # when the last refusal changed the curves
        self._settled = -math.inf  # when that change shows
        self._accepted_since = 0
        self._sent: deque[tuple[float, int]] = deque(maxlen=4096)  # when, and how many were in flight then
        self._recent: deque[bool] = deque(maxlen=_RECENT)  # True for a refusal
        self._tokens_per_request = 0.0
        self._announced_until = -math.inf
        self._doubted = False
        self._words = ""  # of the last refusal

    @property
    def proved(self) -> bool:
        """Whether the endpoint has taken a request."""
        return math.isfinite(self._proved)

    def open(self) -> None:
        """Begin in the running event loop, with nothing in flight."""
        self._in_flight = 0
        self._turn = asyncio.Lock()  # first come, first served
        self._changed = asyncio.Event()

    async def enter(self) -> float:
        """Wait for leave to send one request; the time at which it was given."""
        if not self.adaptive and self._in_flight < self.bound:
            self._in_flight += 1
            return _now()
        async with self._turn:
            while (wait := self._wait()) > 0:
                self._changed.clear()
                with suppress(TimeoutError):
                    async with asyncio.timeout(None if math.isinf(wait) else wait):
                        await self._changed.wait()
            self._in_flight += 1
            now = _now()
            if self.adaptive:
                self._sent.append((now, self._in_flight))
                self._next = max(self._next, now - _CATCH_UP) + 1 / self._pace_now(now)
            return now

    def leave(self) -> None:
        self._in_flight -= 1
        self._changed.set()

    def accepted(self, sent: float) -> None:
        """The endpoint took the request that left at `sent`."""
        self._accepted_since += 1
        self._recent.append(False)
        if not self.proved:
            self._proved = _now()
            self.latency = self._proved - sent
            self._changed.set()

    def refused(self, sent: float, retry_after: float | None, words: str = "") -> None:
        """The endpoint had too much to do for the request that left at `sent`, and said so in `words`."""
        self._words = words
        if not self.adaptive:
            return
        now = _now()
        opened = self._closed_until
        self._recent.append(True)
        # A refusal among many replies requires a slower pace: only the request itself has to wait. Without
        # such knowledge, or where refusals come in numbers, nothing is sent before the time that was given.
        if math.isinf(self._backed_off) or sum(self._recent) > _LONE:
            pause = _PAUSE if retry_after is None else max(retry_after, _SHORTEST_PAUSE)
            self._close(now + pause)
        if sent >= self._settled:  # else it left before the last change could show, and says nothing new
            self._back_off(sent, opened, now)

    def advised(self, requests: Quota | None, tokens: Quota | None) -> None:
        """Take what the endpoint's headers say about the budgets that are left, in adaptive mode."""
        self._told_pace = math.inf
        for quota, cost in ((requests, 1.0), (tokens, self._tokens_per_request)):
            if quota is None or not cost or not self.believes(quota.reset):
                continue
            if quota.remaining < cost:
                self._close(_now() + quota.reset)
            elif quota.remaining < 2 * cost * self.bound and quota.reset > 0:
                # Nearly spent: no faster than it fills. A budget that fills steadily is full after `reset`.
                filling = quota.remaining if quota.limit is None else max(quota.limit - quota.remaining, cost)
                pace = max(filling / quota.reset / cost, 1 / _LONGEST_PAUSE)
                self._told_pace = min(self._told_pace, pace)
                self.announce(1 / pace)

    def believes(self, seconds: float) -> bool:
        """Whether a wait of so many seconds is plausible; logs once if not."""
        if seconds > _BELIEVED and not self._doubted:
            self._doubted = True
            logger.warning(
                "The endpoint names a wait of %.3g s, more than the %d s that a run waits: it is ignored.",
                seconds,
                _BELIEVED,
            )
        return seconds <= _BELIEVED

    def announce(self, seconds: float, words: str = "") -> None:
        """Log a long wait of requests and its reason, once."""
        now = _now()
        words = words or self._words
        if seconds > _SILENT and now + seconds > self._announced_until + _SILENT:
            self._announced_until = now + seconds
            said = f" It says: {words}" if words else ""
            logger.warning("The endpoint is at its limit: requests wait for %.0f s.%s", seconds, said)

    def used(self, tokens: int) -> None:
        """A reply cost so many tokens, by which the budget of tokens is counted in requests."""
        weight = 0.1 if self._tokens_per_request else 1.0
        self._tokens_per_request += weight * (tokens - self._tokens_per_request)

    def _wait(self) -> float:
        """Seconds until the next request may leave; infinite if one has to come back first."""
        now = _now()
        first = _FIRST if self.adaptive and not self.proved else self.bound
        if self._in_flight >= max(1, int(min(self.bound, first, self._most.value(now)))):
            return math.inf
        return max(self._closed_until, self._next) - now

    def _pace_now(self, now: float) -> float:
        if math.isinf(self._backed_off):  # nothing was refused yet
            if not self.proved:
                return self._told_pace
            doublings = (now - self._proved) / min(max(self.latency, _DOUBLING[0]), _DOUBLING[1])
            start = min(2 * _FIRST / max(self.latency, 1e-3), _FASTEST_START)
            learned = start * math.exp2(min(doublings, 6.0))
        else:
            learned = max(_SLOWEST, self._pace.value(now))
        return min(learned, self._told_pace)

    def _close(self, until: float) -> None:
        now = _now()
        self._closed_until = max(self._closed_until, min(until, now + _LONGEST_PAUSE))
        self.announce(self._closed_until - now)
        self._pace.hold(self._closed_until)
        self._most.hold(self._closed_until)

    def _back_off(self, sent: float, opened: float, now: float) -> None:
        measured, most = self._measured(opened, sent)
        top = min(self._pace_now(sent), measured)
        if math.isinf(top):  # refused before anything was taken
            top = _FASTEST_START
        # Between two refusals no more can have been accepted than was allowed, and the pace that was refused
        # was more than is allowed: the limit lies between the two.
        lowest = top / 4
        if math.isfinite(self._backed_off):
            lowest = max(lowest, min(top, self._accepted_since / (now - self._backed_off)))
            low = min(0.95 * top, math.sqrt(top * lowest))
        else:
            low = 0.85 * top
        shortest = max(_PROBE, 3 * (now - sent))
        start = max(now, self._closed_until)
        self._pace.fall(top, low, start, shortest)
        self._most.fall(most, most - 1, start, shortest)
        self._settled = start + _SETTLE
        self._backed_off = now
        self._accepted_since = 0
        self._next = now

    def _measured(self, opened: float, sent: float) -> tuple[float, int]:
        """Requests a second up to `sent`, infinite if too few to tell, and the most that were in flight."""
        while self._sent and self._sent[0][0] < min(sent, self._sent[-1][0]) - _WINDOW:
            self._sent.popleft()
        before = [entry for entry in self._sent if entry[0] <= sent]
        most = max((flying for _, flying in before), default=1)
        last = [time for time, _ in before if time >= opened][-_MEASURED:]
        pace = (
            (len(last) - 1) / (last[-1] - last[0]) if len(last) == _MEASURED and last[-1] > last[0] else math.inf
        )
        return pace, most


def _now() -> float:
    return asyncio.get_running_loop().time()
