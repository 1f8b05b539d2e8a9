"""Votes through the provider's Batch API: half the price, within a day, and never sent twice.

The content of a batch is on disk before the batch is created, and the provider gets our id with it. So a stopped
run finds its batches again, and submits only calls without a batch.
"""

from __future__ import annotations

import logging
import time
from collections import Counter, deque
from collections.abc import Generator
from contextlib import closing
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from grading.backend import Calls, Group, Reply, VoteCall, at_leisure
from grading.batch.file import MOST_BYTES, MOST_REQUESTS, fill, read_results
from grading.endpoint.dialect import Dialect
from grading.endpoint.errors import CallFailedError, NoReplyError, StatusError, body_of, words_of
from grading.errors import UserError
from grading.home import StorePlace
from grading.models.spec import ModelSpec
from grading.store.batches import Batch, BatchStore
from grading.store.replies import VerdictStore

if TYPE_CHECKING:
    from grading.batch.api import BatchApi, Progress

_ROUNDS = 2  # in which failed or expired votes are resubmitted
_FIRST_WAIT, _LONGEST_WAIT = 2.0, 60.0  # seconds between two looks at the batches
_FETCHES = 5  # of incomplete results of a batch
_BEGINNING = 4000  # bytes of a file without results, which are shown
_PATIENCE = 20  # failed looks in a row; at the longest wait they take over twenty minutes

logger = logging.getLogger(__name__)


class BatchBackend:
    """Asks `spec.base_url` in batches and keeps them in the verdict store at `store`.

    `most_requests` and `most_bytes` bound one file of requests; `waits` are the shortest and the longest time
    between two looks, in seconds.
    """

    most_requests, most_bytes = MOST_REQUESTS, MOST_BYTES
    waits = (_FIRST_WAIT, _LONGEST_WAIT)

    def __init__(self, spec: ModelSpec, *, api_key: str, store: StorePlace) -> None:
        self.spec = spec
        self.store = store
        # Parameters that the endpoint refused: further batches go without them.
        self.found_refused: set[str] = set()
        self._api_key = api_key

    def check(self) -> None:
        """Request the model and the list of batches, at no cost; UserError if one is missing."""
        from grading.endpoint.check import check_endpoint, request

        check_endpoint(self.spec, self._api_key)
        response = request(self.spec, self._api_key, "batches?limit=1")
        if not response.ok or "json" not in response.headers.get("content-type", ""):
            raise UserError(
                f"The {self.spec.role}'s endpoint {self.spec.base_url} has no Batch API (status "
                f"{response.status}): leave out the setting `batch`, or type --set batch=false with "
                "`skillmix grade`."
            )

    def replies(self, calls: Calls) -> Generator[Group]:
        """Answer all calls, which takes up to a day; replies come when their batch has ended."""
        waiting = {call.key: call for call in calls}  # all at once: a batch is in flight as one
        if not waiting:
            return
        from grading.batch.api import BatchApi  # the package openai takes a second of every start

        with (
            closing(BatchStore(self.store)) as batches,
            closing(VerdictStore(self.store)) as verdicts,
            BatchApi(self.spec, self._api_key) as api,
        ):
            yield from _Run(self, api, batches, verdicts, waiting).finish()


@dataclass
class _Run:
    """One run over `waiting`, the calls without a reply, by key; each is in `_queue` or in one of `_open`."""

    _backend: BatchBackend
    _api: BatchApi
    _batches: BatchStore
    _verdicts: VerdictStore
    _waiting: dict[str, VoteCall]

    def __post_init__(self) -> None:
        self._found: list[tuple[VoteCall, Reply]] = []  # replies to hand on
        self._queue = deque(self._waiting.values())
        self._open: dict[str, Batch] = {}  # at the provider, by our id
        self._failures: Counter[str] = Counter()  # by key
        # Bounds that the account's limit on waiting tokens sets, once it has refused a batch.
        self._most_open: int | None = None
        self._most_requests = self._backend.most_requests
        self._unanswered = 0  # looks in a row
        self._incomplete: Counter[str] = Counter()  # fetches that brought too few results, by our id of the batch

    def finish(self) -> Generator[Group]:
        """Hand on a reply or a failure for every call."""
        # Replies to calls that were still waiting for budget are already stored, and not paid for yet.
        for key, reply in self._verdicts.read(self._waiting).items():
            self._report(key, replace(reply, stored=False))
        yield from self._handed_on()
        shortest, longest = self._backend.waits
        wait = shortest
        try:
            while self._waiting:
                if self._submit():
                    wait = shortest
                for batch in list(self._open.values()):
                    yield from self._look(batch)
                yield from self._handed_on()
                if self._waiting:
                    time.sleep(wait)
                    wait = min(1.5 * wait, longest)
        except KeyboardInterrupt:
            names = ", ".join(batch.remote for batch in self._open.values())
            if names:
                logger.warning("These batches continue at the provider: %s. Grade again to fetch them.", names)
            raise

    # -- out

    def _submit(self) -> bool:
        """Send the queue as far as the account's known limit allows; return whether anything was sent."""
        sent = False
        while self._queue and not self._full():
            with self._batches.sending():
                self._adopt()
                if not self._queue:
                    break
                refused = frozenset(self._backend.found_refused)
                dialect = Dialect(self._backend.spec, refused)
                requests, content = fill(self._queue, dialect, self._most_requests, self._backend.most_bytes)
                sent = self._send(requests, content, refused) or sent
        return sent

    def _full(self) -> bool:
        if self._most_open is None:
            return False
        return len(self._open) >= self._most_open if self._open else self._api.busy()

    def _adopt(self) -> None:
        """Wait for the batches that hold calls of this run, whoever sent them; forget unsent ones."""
        for batch in self._batches.open():
            if batch.id in self._open or batch.base_url != self._backend.spec.base_url:
                continue
            if self._waiting.keys().isdisjoint(batch.keys):
                continue
            remote = batch.remote or self._api.find(batch)
            if not remote:
                self._batches.finish(batch)
                continue
            if not batch.remote:
                self._batches.submitted(batch, remote)
            self._open[batch.id] = replace(batch, remote=remote)
            self._backend.found_refused |= batch.refused
            logger.info("Found batch %s again, of %d votes", remote, len(batch.keys))
        held = {key for batch in self._open.values() for key in batch.keys}
        self._queue = deque(call for call in self._queue if call.key in self._waiting and call.key not in held)

    def _send(self, requests: list[list[VoteCall]], content: bytes, refused: frozenset[str]) -> bool:
        spec = self._backend.spec
        from grading.batch.api import NotSubmittedError

        keys = ([call.key for call in votes] for votes in requests)
        batch = self._batches.plan(keys, spec.base_url, spec.model, refused)
        try:
            batch = replace(batch, file=self._api.upload(content))
            self._batches.uploaded(batch, batch.file)
            batch = replace(batch, remote=self._api.create(batch))
        except NotSubmittedError as error:
            if error.surely or not batch.file:
                self._batches.finish(batch)
            calls = [call for votes in requests for call in votes]
            if error.too_many and self._open:
                self._most_open = len(self._open)
                self._queue.extendleft(reversed(calls))
            else:  # the next batch would fail alike: the next run requests the rest
                self._give_up_all(calls, f"not submitted: {error}")
            return False
        self._batches.submitted(batch, batch.remote)
        self._open[batch.id] = batch
        logger.info("Submitted batch %s of %d votes", batch.remote, len(batch.keys))
        return True

    # -- in

    def _look(self, batch: Batch) -> Generator[Group]:
        try:
            progress = self._api.progress(batch)
        except NoReplyError as error:
            self._unanswered += 1
            if self._unanswered > _PATIENCE:
                raise UserError(
                    f"The judge's endpoint {self._backend.spec.base_url} does not report its batches ({error}). "
                    "They continue there: grade the same answers again when it is up."
                ) from error
            return
        self._unanswered = 0
        if progress.running:
            return
        calls = [self._waiting[key] for key in batch.keys if key in self._waiting]
        if progress.refused_for_size:
            self._shrink(batch, progress)
        elif not (yield from self._collect(batch, progress)):
            return
        # Not before all its replies are stored.
        self._batches.finish(batch)
        del self._open[batch.id]
        left = sum(call.key in self._waiting for call in calls)
        logger.info(
            "Batch %s is %s: %d votes of this run are done, %d are submitted again%s",
            batch.remote,
            progress.status,
            len(calls) - left,
            left,
            f" ({progress.errors})" if progress.errors else "",
        )

    def _collect(self, batch: Batch, progress: Progress) -> Generator[Group, None, bool]:
        """Hand on every reply, and queue the votes without one again while attempts are left.

        False if the files came with fewer results than the provider counts: they are fetched again, since a result
        that is not in the queue at the provider is paid for.
        """
        refused = batch.refused - {"n"}  # by which votes are fetched, and which changes none
        requests = {request[0]: request for request in batch.requests}
        failures: dict[str, CallFailedError] = {}
        lost = _reason(progress)
        seen: set[str] = set()
        nameless, deleted, words = 0, False, ""
        for content in self._api.results(progress):
            if content is None:
                deleted = True
                lost = NoReplyError("the provider has deleted the replies")
                continue
            of_others: list[tuple[str, Reply]] = []
            before = len(seen)
            for name, result in read_results(content, {name: len(keys) for name, keys in requests.items()}):
                seen.add(name)
                nameless += not name
                if name not in requests:
                    lost = result if isinstance(result, CallFailedError) and not name else lost
                    continue
                if isinstance(result, CallFailedError):
                    failures[name] = result
                    continue
                if len(result) < len(requests[name]):
                    self._backend.found_refused.add("n")  # it was accepted, and then not honoured
                for key, reply in zip(requests[name], result, strict=False):
                    reply = replace(reply, refused=refused)
                    if key in self._waiting:
                        self._report(key, reply)
                    else:  # of another run, or held back by this run's budget; it is paid for
                        of_others.append((key, reply))
            if len(seen) == before:  # an HTML page in place of the file says why
                content.seek(0)
                words = words_of(body_of(content.read(_BEGINNING))) or "an empty file"
            yield from self._handed_on()
            for key, reply in of_others:
                self._verdicts.add(key, batch.judge, reply)
            self._verdicts.commit()
        found = len(seen.intersection(requests)) + nameless
        expected = progress.expected(len(requests))
        if found < expected and not deleted:
            self._fetch_again(batch, found, expected, words)
            return False
        for name, request in requests.items():
            calls = [self._waiting[key] for key in request if key in self._waiting]
            if len(calls) == len(request):
                self._failed(calls, failures.get(name, lost), batch.refused)
            else:  # some have their reply, and so the request was answered
                self._queue.extend(calls)
        return True

    def _fetch_again(self, batch: Batch, found: int, expected: int, words: str) -> None:
        """Keep `batch` open, whose results came incomplete; UserError after some tries.

        `words` are the content in place of a file.
        """
        self._incomplete[batch.id] += 1
        said = f"batch {batch.remote} holds {expected} results and its files came with {found}"
        said += f', one of which is: "{words}"' if words else ""
        if self._incomplete[batch.id] >= _FETCHES:
            raise UserError(
                f"The results of the judge's endpoint {self._backend.spec.base_url} are incomplete ({said}): the "
                "batch stays open, and nothing is bought again; grade the same answers again later."
            )
        logger.warning("The results are fetched again: %s.", said)

    def _report(self, key: str, reply: Reply) -> None:
        self._found.append((self._waiting.pop(key), reply))

    def _handed_on(self) -> Generator[Group]:
        found, self._found = self._found, []
        return at_leisure(found)

    def _failed(self, calls: list[VoteCall], lost: CallFailedError, refused: frozenset[str]) -> None:
        dialect = Dialect(self._backend.spec, refused)
        if isinstance(lost, StatusError) and dialect.blame(lost, refused, len(calls)):
            self._backend.found_refused |= dialect.refused
            self._queue.extend(calls)
            return
        for call in calls:
            self._failures[call.key] += 1
            if lost.passing and self._failures[call.key] <= _ROUNDS:
                self._queue.append(call)
            else:
                self._report(call.key, lost.reply())

    def _give_up_all(self, calls: list[VoteCall], reason: str) -> None:
        """Report `calls` and the queue as failed."""
        for call in (*calls, *self._queue):
            self._report(call.key, NoReplyError(reason).reply())
        self._queue.clear()

    def _shrink(self, batch: Batch, progress: Progress) -> None:
        """The account's queue has no room for `batch`: wait for others to end, or else make it smaller."""
        others = len(self._open) - 1
        self._most_open = max(1, others)
        calls = [self._waiting[key] for key in batch.keys if key in self._waiting]
        alone = not others and not self._api.busy()
        if alone and len(batch.requests) == 1:
            self._give_up_all(calls, f"not even one request goes into the endpoint's queue: {progress.errors}")
            return
        if alone:
            self._most_requests = len(batch.requests) // 2
        self._queue.extendleft(reversed(calls))


def _reason(progress: Progress) -> CallFailedError:
    """Why an ended batch has no line for a vote."""
    if progress.status == "cancelled":
        return NoReplyError("the batch was cancelled at the provider", passing=False)
    if progress.status == "expired":
        return NoReplyError("the batch expired at the provider")
    lost = NoReplyError(f"the batch is {progress.status}: {progress.errors or 'no line for this vote'}")
    if progress.details:  # a parameter may be why a complete batch failed
        error = StatusError(400, {}, {"error": progress.details[0]})
        error.failure, error.passing = lost.failure, True
        return error
    return lost
