"""Which rows are for validation: decided by a row's own id, so that it is the same in every data set."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256

FEW = 20  # fewer rows are not worth a split


def validation_ids(ids: Iterable[str], *, seed: int, share: float) -> frozenset[str]:
    """About the `share` of `ids` that a hash with `seed` puts on the validation side.

    At least one where there are 20 or more, and none where there are fewer. But for that, an id is on the same
    side whatever the other ids are: a text that was held back once is held back when more have been accepted.
    """
    chosen: set[str] = set()
    number, first = 0, (2.0, "")
    for number, name in enumerate(ids, start=1):  # noqa: B007 - their number is needed
        place = int.from_bytes(sha256(f"validation|{seed}|{name}".encode()).digest()[:8]) / 2**64
        first = min(first, (place, name))
        if place < share:
            chosen.add(name)
    if number < FEW or share == 0:
        return frozenset()
    return frozenset(chosen or {first[1]})
