"""The provider's side of batch mode: files up and down, and batches that are created once."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, BinaryIO, Self
from urllib.parse import parse_qsl, urlsplit

import httpx2
from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    DefaultHttpxClient,
    NotFoundError,
    Omit,
    OpenAI,
    RateLimitError,
)
from openai.types import Batch as RemoteBatch
from tenacity import Retrying, retry_if_exception, retry_if_exception_type, stop_after_attempt
from tenacity.retry import retry_base

from grading.batch.file import ROUTE
from grading.endpoint.bodies import ACCEPTED, MOST_BODY, BodyError, Unpacker
from grading.endpoint.errors import NoReplyError, StatusError, body_of, words_of
from grading.endpoint.rate_headers import ATTEMPTS, BACKOFF
from grading.endpoint.route import proxy_of, trusted
from grading.errors import UserError
from grading.keys import redact, redacted
from grading.models.spec import ModelSpec
from grading.store.batches import Batch

_TIMEOUT = 600.0  # seconds for one request; a file may have 200 MB
_MOST_RESULTS = 8 * 2**30  # bytes of one file of results: 50,000 requests with 160 kB of reasoning each
_TAG = "grading_batch"  # the key of our id in a batch's metadata
_RUNNING = frozenset({"validating", "in_progress", "finalizing", "cancelling"})
_ENDED = frozenset({"completed", "failed", "expired", "cancelled"})
_TOO_MUCH = "token_limit_exceeded"


class NotSubmittedError(Exception):
    """A batch could not be created; `surely` is False if the submission may have succeeded anyway.

    `too_many` says that the endpoint may take it later, when others have ended.
    """

    def __init__(self, error: APIError) -> None:
        super().__init__(_said(error))
        self.too_many = isinstance(error, RateLimitError) and _passing(error)
        self.surely = self.too_many or not _passing(error)


@dataclass(frozen=True)
class Progress:
    """The progress of a batch: the provider's `status`, the ids of its files once it has ended, and its errors.

    `refused_for_size` says that it was refused because too many tokens wait in the account's queue. `counted` is
    how many results the provider counts, None where it does not say.
    """

    status: str
    files: tuple[str, ...]
    errors: str
    refused_for_size: bool
    # Each error as data, from which a refused parameter can be read.
    details: tuple[dict[str, object], ...]
    counted: int | None

    @property
    def running(self) -> bool:
        return self.status in _RUNNING

    def expected(self, requests: int) -> int:
        """The number of results in its files, of `requests`; a completed batch has one for each."""
        if self.counted is not None:
            return min(self.counted, requests)
        return requests if self.status == "completed" else min(1, len(self.files))


class BatchApi:
    """The Batch API of an OpenAI-compatible endpoint; use as a context manager."""

    def __init__(self, spec: ModelSpec, api_key: str) -> None:
        self._base_url = spec.base_url
        # The package takes these from the environment, and another endpoint must not receive them.
        private = () if spec.endpoint == "openai" else ("OpenAI-Organization", "OpenAI-Project")
        headers: dict[str, Any] = {"Accept-Encoding": ACCEPTED, **{name: Omit() for name in private}}
        self._client = OpenAI(
            base_url=spec.base_url.partition("?")[0],
            default_query=dict(parse_qsl(urlsplit(spec.base_url).query)),
            api_key=api_key,
            max_retries=ATTEMPTS,  # with backoff and Retry-After
            timeout=_TIMEOUT,
            default_headers=headers,
            # Prompts and the key go to the named address, and not to one that it redirects to.
            http_client=DefaultHttpxClient(
                follow_redirects=False,
                timeout=_TIMEOUT,
                event_hooks={"response": [_bound]},
                verify=trusted(spec.base_url),
                proxy=proxy_of(spec.base_url),
                trust_env=False,
            ),
        )

    def upload(self, content: bytes) -> str:
        """Upload a file of requests and return its id; NotSubmittedError if that fails."""
        try:
            return self._client.files.create(file=("votes.jsonl", content), purpose="batch").id
        except APIError as error:
            raise NotSubmittedError(error) from error

    def create(self, batch: Batch) -> str:
        """The provider's id of the new batch, which is created once, whatever happens to the replies.

        The openai package would send the request again when a reply is lost, and make a second batch.
        """
        once = self._client.with_options(max_retries=0)
        try:
            for attempt in _tries(retry_if_exception(_passing)):
                with attempt:
                    found = self._find(batch) if attempt.retry_state.attempt_number > 1 else None
                    return found or (
                        once.batches.create(
                            input_file_id=batch.file,
                            endpoint=ROUTE,
                            completion_window="24h",
                            metadata={_TAG: batch.id},
                        ).id
                    )
        except APIError as error:
            raise NotSubmittedError(error) from error
        raise AssertionError  # tenacity returns or raises

    def find(self, batch: Batch) -> str | None:
        """The provider's id of `batch` if it was created."""
        try:
            return self._find(batch)
        except APIError as error:
            raise self._stopped(error) from error

    def _find(self, batch: Batch) -> str | None:
        # By our id, or by its file, for endpoints that keep no metadata.
        # All pages are read, though OpenAI lists the newest first: others need not.
        for remote in self._client.batches.list(limit=100):
            if (remote.metadata or {}).get(_TAG) == batch.id or (
                batch.file and remote.input_file_id == batch.file
            ):
                return remote.id
        return None

    def busy(self) -> bool:
        """Whether any batch of the account is running, whoever made it; of many the latest hundred count."""
        try:
            return any(remote.status in _RUNNING for remote in self._client.batches.list(limit=100).data)
        except APIError as error:
            raise self._stopped(error) from error

    def progress(self, batch: Batch) -> Progress:
        """The progress of `batch`; NoReplyError if the endpoint does not report it now."""
        try:
            remote = self._client.batches.retrieve(batch.remote)
        except NotFoundError as error:
            raise UserError(
                f"The judge's endpoint {self._base_url} does not know the batch {batch.remote}, whose "
                f"{len(batch.keys)} votes this run waits for: set the key of the account that made it, or type "
                "`skillmix store prune --batches --yes` to give up all open batches."
            ) from error
        except APIError as error:
            if _passing(error):
                raise NoReplyError(_said(error)) from error
            raise self._stopped(error) from error
        if remote.status not in _RUNNING | _ENDED:  # treating it as an end would buy its votes again
            raise NoReplyError(f"it says that batch {batch.remote} is {redact(str(remote.status))[:100]}")
        return _progress(remote)

    def results(self, progress: Progress) -> Iterator[BinaryIO | None]:
        """The files of an ended batch, one after the other; None for one that the provider has deleted.

        A file may be larger than the memory: it stays on disk until the next one is requested.
        """
        for file in progress.files:
            with tempfile.TemporaryFile() as copy:
                try:
                    self._download(file, copy)
                except NotFoundError:
                    yield None
                    continue
                except (APIError, httpx2.HTTPError) as error:
                    raise self._stopped(error) from error
                except OSError as error:
                    raise UserError(
                        f"The replies of a batch cannot be kept in {tempfile.gettempdir()} ({error.strerror}): "
                        "free space, or name another folder with TMPDIR; meanwhile they stay at the provider."
                    ) from error
                copy.seek(0)
                yield copy

    def _download(self, file: str, copy: BinaryIO) -> None:
        # The openai package repeats a request, and no reply that breaks off while it is read.
        for attempt in _tries(retry_if_exception_type(httpx2.TransportError)):
            with attempt, self._client.files.with_streaming_response.content(file) as response:
                copy.seek(0)
                copy.truncate()
                copy.writelines(response.iter_bytes())

    def _stopped(self, error: Exception) -> UserError:
        reason = f"status {error.status_code}" if isinstance(error, APIStatusError) else _said(error)
        return UserError(
            f"The judge's endpoint {self._base_url} does not report the state of the batches ({reason}). They "
            "continue there: grade the same answers again when the endpoint and its key work."
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._client.close()


@dataclass
class _Unpacked(httpx2.SyncByteStream):
    """A body as our own unpacker has it, within its limit."""

    _packed: httpx2.SyncByteStream
    _encoding: str
    _most: int

    def __iter__(self) -> Iterator[bytes]:
        try:
            unpacker = Unpacker(self._encoding, self._most)
            for chunk in self._packed:
                yield from unpacker.feed(chunk)
        except BodyError as error:
            raise httpx2.DecodingError(str(error)) from error

    def close(self) -> None:
        self._packed.close()


def _bound(response: httpx2.Response) -> None:
    """Make the client read `response` within a limit: a file of results may be large, and nothing else.

    Any other success must be an object with an id or a list: the openai package would accept an HTML page.
    """
    assert isinstance(response.stream, httpx2.SyncByteStream)
    results = response.is_success and response.request.url.path.endswith("/content")
    encoding = response.headers.pop("Content-Encoding", "")
    response.stream = _Unpacked(response.stream, encoding, _MOST_RESULTS if results else MOST_BODY)
    if response.is_success and not results:
        body = body_of(response.read())
        if not isinstance(body, dict) or not (
            isinstance(body.get("id"), str) or isinstance(body.get("data"), list)
        ):
            raise httpx2.DecodingError(f"the reply is not from a Batch API: {words_of(body)}")
        response.headers["Content-Type"] = "application/json"


def _said(error: Exception) -> str:
    """An error in one line; the openai package calls a body that is too large a failed connection."""
    cause = error.__cause__ if isinstance(error.__cause__, httpx2.DecodingError) else error
    return redact(f"{type(error).__name__}: {cause}")[:500]


def _tries(passing: retry_base) -> Retrying:
    return Retrying(retry=passing, stop=stop_after_attempt(ATTEMPTS), wait=BACKOFF, reraise=True)


def _passing(error: BaseException) -> bool:
    """Whether a request with this failure may have been received, or may succeed later."""
    if isinstance(error, APIStatusError):
        return StatusError(error.status_code, error.response.headers, error.body).passing
    return isinstance(error, APIConnectionError)


def _progress(remote: RemoteBatch) -> Progress:
    errors = (remote.errors.data if remote.errors else None) or []
    counts = [getattr(remote.request_counts, name, None) for name in ("completed", "failed")]
    counted = [number for number in counts if isinstance(number, int)]
    return Progress(
        remote.status,
        tuple(file for file in (remote.output_file_id, remote.error_file_id) if file),
        redact("; ".join(f"{error.code}: {error.message}" for error in errors[:3])),
        any(error.code == _TOO_MUCH for error in errors),
        tuple(redacted(error.model_dump()) for error in errors),
        sum(counted) if counted else None,
    )
