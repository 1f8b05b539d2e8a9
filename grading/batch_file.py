"""The files of the Batch API, one JSON object a line: the requests that go up, the results that come down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from pydantic import BaseModel

from grading.backend import Reply, VoteCall
from grading.chat import chat_parameters, read_reply
from grading.verdict import State

if TYPE_CHECKING:
    from grading.judge import JudgeSpec

MOST_REQUESTS = 50_000  # in one file, as OpenAI documents it
MOST_BYTES = 200_000_000
ROUTE: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class Failure:
    """A vote that its batch brought no reply for; `passing` if it can succeed in another batch.

    `error` is the error as the endpoint worded it, from which a refused parameter can be read.
    """

    detail: str
    passing: bool = True
    error: object = None


def fill(
    queue: deque[VoteCall], spec: JudgeSpec, refused: Collection[str], most_requests: int, most_bytes: int
) -> tuple[list[VoteCall], bytes]:
    """Take as many calls off the queue as go into one file, at least one, and return them with the file."""
    calls: list[VoteCall] = []
    lines: list[bytes] = []
    size = 0
    while queue and len(calls) < most_requests:
        line = _request(queue[0], spec, refused)
        size += len(line)
        if calls and size > most_bytes:
            break
        calls.append(queue.popleft())
        lines.append(line)
    return calls, b"".join(lines)


def _request(call: VoteCall, spec: JudgeSpec, refused: Collection[str]) -> bytes:
    body = chat_parameters(spec, call, refused)
    request = {"custom_id": call.key, "method": "POST", "url": ROUTE, "body": body}
    return json.dumps(request).encode() + b"\n"  # ASCII: other line separators in a text cannot cut the line


class _Response(BaseModel):
    status_code: int
    body: Any = None


class _Error(BaseModel):
    code: str | None = None
    message: str | None = None


class _Line(BaseModel):
    custom_id: str
    response: _Response | None = None
    error: _Error | None = None


def read_results(content: bytes) -> Iterator[tuple[str, Reply | Failure]]:
    """What an output or error file says of each vote, by key; a line that is none says nothing of any vote."""
    for line in content.split(b"\n"):
        try:
            read = _Line.model_validate(json.loads(line))
        except (ValueError, RecursionError):
            continue
        yield read.custom_id, _result(read)


def _result(line: _Line) -> Reply | Failure:
    if line.response is None:
        error = line.error or _Error()
        return Failure(f"{error.code}: {error.message}"[:500], passing=error.code != "batch_cancelled")
    status, body = line.response.status_code, line.response.body
    if status != 200:
        error_body = body.get("error", body) if isinstance(body, dict) else body
        return Failure(f"status {status}: {error_body}"[:500], _passing(status, error_body), error_body)
    reply = read_reply(json.dumps(body))
    return Failure(reply.detail) if reply.state is State.API_FAILED else reply


def _passing(status: int, error: object) -> bool:
    if isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type")):
        return False
    return status in (408, 409, 429) or status >= 500
