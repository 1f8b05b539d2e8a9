"""The files of the Batch API, one JSON object a line: the requests that go up, the results that come down."""

from __future__ import annotations

import json
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, BinaryIO, Final

from pydantic import BaseModel

from grading.backend import Reply, VoteCall
from grading.endpoint.bodies import MOST_BODY
from grading.endpoint.chat import failure_in, replies_in
from grading.endpoint.dialect import Dialect
from grading.endpoint.errors import CallFailedError, NoReplyError, StatusError
from grading.keys import known_keys, redacted
from grading.safety.bounds import load_json

MOST_REQUESTS = 50_000  # in one file, as OpenAI documents it
MOST_BYTES = 200_000_000
ROUTE: Final = "/v1/chat/completions"


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
) -> Iterator[tuple[str, list[Reply] | CallFailedError]]:
    """The result or error of each request in a file, by its custom_id; invalid lines are skipped.

    `votes` is the number requested with each request; surplus votes are left out. A line that is too long has no
    known request: its error has an empty name.
    """
    keys = known_keys()
    while line := file.readline(MOST_BODY + 1):
        if len(line) > MOST_BODY:
            while line and not line.endswith(b"\n"):
                line = file.readline(MOST_BODY)
            words = f"its line in the results is longer than {MOST_BODY // 2**20} MiB"
            yield "", NoReplyError(words, passing=False)
            continue
        try:
            read = _Line.model_validate(redacted(load_json(line), keys))
        except ValueError:
            continue
        yield read.custom_id, _result(read, (votes or {}).get(read.custom_id))


def _result(line: _Line, votes: int | None) -> list[Reply] | CallFailedError:
    if line.response is None:
        error = line.error or _Error()
        return NoReplyError(f"{error.code}: {error.message}", passing=error.code != "batch_cancelled")
    status, body = line.response.status_code, line.response.body
    failed = failure_in(body, status) if status == 200 else StatusError(status, {}, body)
    return replies_in(body, votes) if failed is None else failed
