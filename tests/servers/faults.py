"""What can go wrong with a request: the faults' names, and which of them strikes.

A name of three digits is a plain error reply with that status. The others:

- 429-retry-after: with a Retry-After header of `retry_after` seconds; 429-quota: the account is empty
- 502-html: a gateway's error page
- slow: the reply comes `slow_s` seconds late; hang: no reply, ever
- cut: the connection closes in the middle of the body; bad-body: the body of the 200 reply is not JSON
- no-choices: a completion without choices
- truncated: half the text, finish_reason "length"
- refusal: `refusal` set and content null; refusal-text: a refusal as content
- content-filter: finish_reason "content_filter" and no text
- empty: content ""; reasoning-only: content "" beside reasoning_content

and for judges only:

- bad-content: the text is no JSON; wrong-schema: JSON, but of another kind
- false-quote: no quote is in the answer; missing-criterion: one entry is absent
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from tests.servers.draw import fraction

if TYPE_CHECKING:
    from collections.abc import Mapping

ANY_ROLE = frozenset(
    {
        "429-retry-after",
        "429-quota",
        "502-html",
        "slow",
        "hang",
        "cut",
        "bad-body",
        "no-choices",
        "truncated",
        "refusal",
        "refusal-text",
        "content-filter",
        "empty",
        "reasoning-only",
    }
)
JUDGE_ONLY = frozenset({"bad-content", "wrong-schema", "false-quote", "missing-criterion"})

REFUSAL = "I'm sorry, but I can't assist with that request."
REASONING = "The user wants marks. Let me go through the criteria one by one and weigh them."
_STATUS = re.compile(r"[45][0-9][0-9]")


def known(name: str, role: str) -> bool:
    """Whether a fault of that name can strike a request of that role."""
    return name in ANY_ROLE or bool(_STATUS.fullmatch(name)) or (role == "judge" and name in JUDGE_ONLY)


def chosen_fault(faults: Mapping[str, float], seed: int, body: dict[str, Any], attempt: int) -> str | None:
    """The fault, if any, that strikes the given attempt (from 1) at a request body.

    It does not depend on the order in which requests arrive, so tests can compute it.
    """
    drawn = fraction("fault", seed, body, attempt)
    for name, probability in faults.items():
        if drawn < probability:
            return name
        drawn -= probability
    return None


def error_reply(name: str, retry_after: float) -> tuple[int, dict[str, str], dict[str, Any] | str] | None:
    """Status, headers and body of a fault that is an error reply; None for the other faults."""
    if name == "502-html":
        return 502, {}, "<html><head><title>502 Bad Gateway</title></head><body>nginx</body></html>"
    if name == "429-quota":
        message = "You exceeded your current quota, please check your plan and billing details."
        return 429, {}, error_body(message, kind="insufficient_quota", code="insufficient_quota")
    if name in {"429", "429-retry-after"}:
        headers = {"Retry-After": f"{retry_after:g}"} if name == "429-retry-after" else {}
        body = error_body("Rate limit reached.", kind="requests", code="rate_limit_exceeded")
        return 429, headers, body
    if _STATUS.fullmatch(name):
        kind = "server_error" if name.startswith("5") else "invalid_request_error"
        return int(name), {}, error_body(f"The request failed with status {name}.", kind=kind)
    return None


def error_body(
    message: str,
    *,
    kind: str = "invalid_request_error",
    param: str | None = None,
    code: str | None = None,
) -> dict[str, Any]:
    """An error as the OpenAI API words it."""
    return {"error": {"message": message, "type": kind, "param": param, "code": code}}
