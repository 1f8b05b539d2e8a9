"""The files of the Batch API, one JSON object a line: the requests that go up, the results that come down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, BinaryIO, Final

from pydantic import BaseModel

from grading.backend import Reply, VoteCall
from grading.endpoint.bodies import MOST_BODY
from grading.endpoint.chat import Dialect, replies_in
from grading.keys import known_keys, redacted
from grading.safety.bounds import brief, load_json
from grading.verdict import State

MOST_REQUESTS = 50_000  # in one file, as OpenAI documents it
MOST_BYTES = 200_000_000
ROUTE: Final = "/v1/chat/completions"


@dataclass(frozen=True)
class Failure:
    """Why a request brought no reply; `passing` if it can succeed in another batch.

    `error` is the error as the endpoint worded it, from which a refused parameter can be read.
    """

    detail: str
    passing: bool = True
    error: object = None


def fill(
    queue: deque[VoteCall], dialect: Dialect, most_requests: int, most_bytes: int
) -> tuple[list[list[VoteCall]], bytes]:
    """Take the calls of one file off the queue, at least one, and return them by request, with the file.

    Neighbours with the same messages share a request where the endpoint takes that.
    """
    requests: list[list[VoteCall]] = []
    lines: list[bytes] = []
    size = 0
    while queue and len(requests) < most_requests:
        votes = [queue.popleft()]
        while "n" not in dialect.refused and queue and queue[0].messages == votes[0].messages:
            votes.append(queue.popleft())
        line = _line(votes, dialect)
        size += len(line)
        if requests and size > most_bytes:
            queue.extendleft(reversed(votes))
            break
        requests.append(votes)
        lines.append(line)
    return requests, b"".join(lines)


def _line(votes: Sequence[VoteCall], dialect: Dialect) -> bytes:
    body = dialect.request(votes[0], len(votes))
    request = {"custom_id": votes[0].key, "method": "POST", "url": ROUTE, "body": body}
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


def read_results(
    file: BinaryIO, votes: Mapping[str, int] | None = None
) -> Iterator[tuple[str, list[Reply] | Failure]]:
    """What an output or error file says of each request, by its custom_id; a line that is none says nothing.

    `votes` is how many were asked for with each request; those that came beyond that are left out. Of a line that
    is too long nobody knows whose it is: it is a Failure under an empty name.
    """
    keys = known_keys()
    while line := file.readline(MOST_BODY + 1):
        if len(line) > MOST_BODY:
            while line and not line.endswith(b"\n"):
                line = file.readline(MOST_BODY)
            yield "", Failure(f"its line in the results is longer than {MOST_BODY // 2**20} MiB", passing=False)
            continue
        try:
            read = _Line.model_validate(redacted(load_json(line), keys))
        except ValueError:
            continue
        yield read.custom_id, _result(read, (votes or {}).get(read.custom_id))


def _result(line: _Line, votes: int | None) -> list[Reply] | Failure:
    if line.response is None:
        error = line.error or _Error()
        return Failure(f"{error.code}: {error.message}"[:500], passing=error.code != "batch_cancelled")
    status, body = line.response.status_code, line.response.body
    if status != 200:
        error_body = body.get("error", body) if isinstance(body, dict) else body
        return Failure(f"status {status}: {brief(error_body)}"[:500], _passing(status, error_body), error_body)
    replies = replies_in(body, votes)
    return Failure(replies[0].detail) if replies[0].state is State.API_FAILED else replies


def _passing(status: int, error: object) -> bool:
    if isinstance(error, dict) and "insufficient_quota" in (error.get("code"), error.get("type")):
        return False
    return status in (408, 409, 429) or status >= 500
