"""When a request may be sent again: by its status, `Retry-After` and the `x-ratelimit-*` headers."""

from __future__ import annotations

import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from email.utils import mktime_tz, parsedate_tz

from tenacity import wait_random_exponential

ATTEMPTS = 6  # at one call that fails; enough for a blip, and an endpoint that is down is soon known
# Rises from half a second to half a minute, drawn anew each time between 0 and that.
BACKOFF = wait_random_exponential(multiplier=0.5, max=30)

_UNIT_SECONDS = {"ms": 0.001, "s": 1.0, "m": 60.0, "h": 3600.0, "d": 86400.0}
_PART = re.compile(r"(\d+(?:\.\d+)?)(ms|s|m|h|d)")
_UNIT = r"(?:ms|milliseconds?|s|secs?|seconds?|m|mins?|minutes?|h|hours?|d|days?)(?![a-z])"
_WAIT = re.compile(rf"try(?: again)? (?:in|after) (?:about )?((?:\d+(?:\.\d+)? ?{_UNIT}[ ,]*)+)", re.IGNORECASE)


@dataclass(frozen=True)
class Quota:
    """One kind of budget: its remainder, and the seconds until it is full again.

    `limit` is the full budget; None if the endpoint does not report it.
    """

    remaining: float
    reset: float
    limit: float | None = None


def may_pass(status: int) -> bool:
    """Whether a request that failed with this status can succeed later."""
    return status in (408, 409, 420, 421, 423, 424, 425, 429, 499) or status >= 500


def retry_after(headers: Mapping[str, str]) -> float | None:
    """The seconds until the endpoint accepts a retry, from 0 and finite; None if it does not say.

    Both forms of HTTP are read, seconds and a date, and the milliseconds of `retry-after-ms`.
    """
    milliseconds = _number(headers.get("retry-after-ms"))
    if milliseconds is not None:
        return milliseconds / 1000
    value = headers.get("retry-after")
    if value is None:
        return None
    seconds = _number(value)
    if seconds is not None:
        return seconds
    try:
        date = parsedate_tz(value)
        return None if date is None else max(0.0, mktime_tz(date) - time.time())
    except (ValueError, OverflowError):  # a year or a zone that no calendar has
        return None


def quota(headers: Mapping[str, str], kind: str) -> Quota | None:
    """The budget of `kind` ("requests" or "tokens"); None if the endpoint reports it incompletely."""
    remaining = _number(headers.get(f"x-ratelimit-remaining-{kind}"))
    reset = duration(headers.get(f"x-ratelimit-reset-{kind}"))
    if remaining is None or reset is None:
        return None
    return Quota(remaining, reset, _number(headers.get(f"x-ratelimit-limit-{kind}")))


def _number(value: str | None) -> float | None:
    if value is None or not re.fullmatch(r"\s*\d{1,12}(\.\d+)?\s*", value):
        return None
    return float(value)


def duration(value: str | None) -> float | None:
    """Seconds of "1m30.5s", "120ms" or a bare number; None for anything else."""
    if value is None:
        return None
    value = value.strip()
    bare = _number(value)
    if bare is not None:
        return bare
    parts = _PART.findall(value)
    if not parts or "".join(number + unit for number, unit in parts) != value:
        return None
    return sum(float(number) * _UNIT_SECONDS[unit] for number, unit in parts)


def wait_in_words(text: str) -> float | None:
    """Seconds of "Please retry in 34.07s" or "try again after 2 minutes"; None if the text names no time."""
    if not (found := _WAIT.search(text)):
        return None
    words = re.sub(r"(ms|mil|[smhd])[a-z]*", lambda unit: unit[1].replace("mil", "ms"), found[1].lower())
    return duration(re.sub("[ ,]", "", words))
