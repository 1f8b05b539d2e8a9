from __future__ import annotations

import time
from email.utils import formatdate

import pytest

from grading.endpoint.rate_headers import Quota, quota, retry_after, wait_in_words


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({"retry-after": "3"}, 3.0),
        ({"retry-after": "0.25"}, 0.25),
        ({"retry-after": "3", "retry-after-ms": "120"}, 0.12),
        ({"retry-after": "soon"}, None),
        ({"retry-after": "-3"}, None),
        ({"retry-after": "inf"}, None),
        ({}, None),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:00 GMT"}, 0.0),
    ],
)
def test_retry_after(headers, seconds):
    assert retry_after(headers) == seconds


def test_retry_after_as_a_date():
    seconds = retry_after({"retry-after": formatdate(time.time() + 30, usegmt=True)})
    assert seconds is not None
    assert 28 < seconds <= 30


@pytest.mark.parametrize(
    ("reset", "seconds"),
    [("6m0s", 360), ("120ms", 0.12), ("1m30.5s", 90.5), ("1h2m3s", 3723), ("5", 5), ("1d", 86400)],
)
def test_quotas(reset, seconds):
    headers = {"x-ratelimit-remaining-tokens": "149984", "x-ratelimit-reset-tokens": reset}
    assert quota(headers, "tokens") == Quota(149984, seconds)
    assert quota(headers | {"x-ratelimit-limit-tokens": "150000"}, "tokens") == Quota(149984, seconds, 150000)
    assert quota(headers, "requests") is None


@pytest.mark.parametrize("reset", ["", "soon", "5x", "1m 5", "2025-01-01T00:00:00Z"])
def test_a_reset_that_cannot_be_read_is_none(reset):
    headers = {"x-ratelimit-remaining-requests": "3", "x-ratelimit-reset-requests": reset}
    assert quota(headers, "requests") is None


@pytest.mark.parametrize(
    ("words", "seconds"),
    [
        ("Please retry in 34.07s.", 34.07),
        ("Please try again in 24m28.8s. Need more tokens?", 1468.8),
        ("try again in 20ms", 0.02),
        ("Please retry after 1 second. Please go here", 1),
        ("Try again in 1 minute, 30 seconds", 90),
        ("please try again after 250 milliseconds", 0.25),
        ("Please try again later.", None),
        ("Try again in a moment; the limit is 5 s", None),
        ("retry in 5 sheets", None),
    ],
)
def test_a_wait_in_words(words, seconds):
    assert wait_in_words(words) == (seconds if seconds is None else pytest.approx(seconds))
