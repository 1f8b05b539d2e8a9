"""Which batches are at the provider, kept beside the replies, so that a run that was stopped finds them again."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path

from grading.store.database import explained, open_database, transaction


@dataclass(frozen=True)
class Batch:
    """Votes that go out, or have gone out, together.

    `id` is ours and travels in the batch's metadata; `remote` is the provider's, and empty until it is known.
    `file` is the provider's id of the uploaded requests, empty until then. `requests` holds the keys, in the
    verdict store, of the votes that each request asks for, in their order; the first of them names the request.
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
        """The keys of all its votes."""
        return [key for request in self.requests for key in request]


class BatchStore:
    """The open batches in the verdict store's file; a batch is there from before it is sent until it is done."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._db = open_database(path)

    def plan(self, requests: Iterable[Iterable[str]], base_url: str, judge: str, refused: frozenset[str]) -> Batch:
        """Put on disk what the next batch will hold, before anything of it is sent.

        Its id is drawn, not computed: a batch of votes that failed may hold the same as the one before it.
        """
        id_ = uuid.uuid4().hex
        with explained(self._path), transaction(self._db):
            self._db.execute(
                "INSERT INTO batches (id, base_url, judge, refused) VALUES (?, ?, ?, ?)",
                (id_, base_url, judge, " ".join(sorted(refused))),
            )
            self._db.executemany(
                "INSERT INTO batch_votes VALUES (?, ?, ?, ?)",
                (
                    (id_, number, place, key)
                    for number, request in enumerate(requests)
                    for place, key in enumerate(request)
                ),
            )
        [batch] = self._read("WHERE id = ?", (id_,))
        return batch

    def uploaded(self, batch: Batch, file: str) -> None:
        """The provider has the requests of `batch` as `file`."""
        with explained(self._path):
            self._db.execute("UPDATE batches SET file = ? WHERE id = ?", (file, batch.id))

    def submitted(self, batch: Batch, remote: str) -> None:
        """The provider has `batch` under the id `remote`."""
        with explained(self._path):
            self._db.execute("UPDATE batches SET remote = ? WHERE id = ?", (remote, batch.id))

    def finish(self, batch: Batch) -> None:
        """Forget `batch`: nothing more is to be had from it."""
        with explained(self._path), transaction(self._db):
            self._db.execute("DELETE FROM batch_votes WHERE batch = ?", (batch.id,))
            self._db.execute("DELETE FROM batches WHERE id = ?", (batch.id,))

    def open(self) -> list[Batch]:
        """The batches that lack a reply to one of their votes, the oldest first.

        One whose replies are all stored is done, though the process that stored them could not say so any more.
        """
        return self._read(
            "WHERE EXISTS (SELECT 1 FROM batch_votes AS vote WHERE vote.batch = batches.id AND NOT EXISTS "
            "(SELECT 1 FROM replies WHERE replies.key = vote.key)) ORDER BY planned, id",
            (),
        )

    def close(self) -> None:
        """Close the file."""
        self._db.close()

    def _read(self, where: str, values: tuple[str, ...]) -> list[Batch]:
        with explained(self._path):
            rows = self._db.execute(
                f"SELECT id, base_url, judge, refused, file, remote, planned FROM batches {where}",  # noqa: S608
                values,
            ).fetchall()
            return [
                Batch(id_, base_url, judge, frozenset(refused.split()), file, remote, planned, self._requests(id_))
                for id_, base_url, judge, refused, file, remote, planned in rows
            ]

    def _requests(self, id_: str) -> tuple[tuple[str, ...], ...]:
        rows = self._db.execute(
            "SELECT request, key FROM batch_votes WHERE batch = ? ORDER BY request, place", (id_,)
        )
        return tuple(tuple(key for _, key in request) for _, request in groupby(rows, key=itemgetter(0)))
