"""Which batches are at the provider, kept beside the replies, so that a run that was stopped finds them again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter

from grading.home import StorePlace
from grading.store.database import insert, select
from grading.store.opening import open_database


@dataclass(frozen=True)
class Batch:
    """Votes that go out, or have gone out, together.

    `id` is ours and travels in the batch's metadata; `remote` is the provider's, and empty until it is known.
    `file` is the provider's id of the uploaded requests, empty until then. `requests` holds the keys, in the
    verdict store, of the votes of each request, in their order; the first of them names the request.
    `refused` are the parameters that its requests go without. `planned` is a time in UTC, as
    "YYYY-MM-DD HH:MM:SS".
    """

    id: str
    base_url: str
    judge: str
    refused: frozenset[str]
    file: str
    remote: str
    planned: str
    requests: tuple[tuple[str, ...], ...]

    @property
    def keys(self) -> list[str]:
        return [key for request in self.requests for key in request]


class BatchStore:
    """The open batches in the verdict store; a batch is there from before it is sent until it is done."""

    def __init__(self, place: StorePlace) -> None:
        self._db = open_database(place)

    def sending(self) -> AbstractContextManager[None]:
        """Held from a plan to its batch's id, by one process at a time.

        So a plan without an id is a dead process's, and a second process with the same votes waits for the
        batches of the first.
        """
        return self._db.lock()

    def plan(self, requests: Iterable[Iterable[str]], base_url: str, judge: str, refused: frozenset[str]) -> Batch:
        """Write the content of the next batch to disk, before any of it is sent.

        Its id is drawn, not computed: a batch of votes that failed may hold the same as the one before it.
        """
        id_ = uuid.uuid4().hex
        self._db.write(
            (
                insert("batches", ("id", "base_url", "judge", "refused")),
                [(id_, base_url, judge, " ".join(sorted(refused)))],
            ),
            (
                insert("batch_votes"),
                [
                    (id_, number, place, key)
                    for number, request in enumerate(requests)
                    for place, key in enumerate(request)
                ],
            ),
        )
        [batch] = self._read("WHERE id = ?", id_)
        return batch

    def uploaded(self, batch: Batch, file: str) -> None:
        """The provider has the requests of `batch` as `file`."""
        self._db.write(("UPDATE batches SET file = ? WHERE id = ?", [(file, batch.id)]))

    def submitted(self, batch: Batch, remote: str) -> None:
        """The provider has `batch` under the id `remote`."""
        self._db.write(("UPDATE batches SET remote = ? WHERE id = ?", [(remote, batch.id)]))

    def finish(self, batch: Batch) -> None:
        """Forget `batch`: it has no further replies."""
        self._db.write(
            ("DELETE FROM batch_votes WHERE batch = ?", [(batch.id,)]),
            ("DELETE FROM batches WHERE id = ?", [(batch.id,)]),
        )

    def open(self) -> list[Batch]:
        """The batches that lack a reply to one of their votes, the oldest first.

        A batch whose replies are all stored is done, even if its process died before it recorded that.
        """
        return self._read(
            "WHERE EXISTS (SELECT 1 FROM batch_votes AS vote WHERE vote.batch = batches.id AND NOT EXISTS "
            "(SELECT 1 FROM replies WHERE replies.key = vote.key)) ORDER BY planned, id"
        )

    def close(self) -> None:
        self._db.close()

    def _read(self, where: str, *values: str) -> list[Batch]:
        return [
            Batch(id_, base_url, judge, frozenset(refused.split()), file, remote, planned, self._requests(id_))
            for id_, base_url, judge, refused, file, remote, planned in self._db.rows(
                f"{select('batches')} {where}", values
            )
        ]

    def _requests(self, id_: str) -> tuple[tuple[str, ...], ...]:
        rows = self._db.rows(
            "SELECT request, key FROM batch_votes WHERE batch = ? ORDER BY request, place", (id_,)
        )
        return tuple(tuple(key for _, key in request) for _, request in groupby(rows, key=itemgetter(0)))
