"""The saturation point: the k from which on a student hardly ever gets full marks.

The papers name the k at which scores drop off and give no rule (Yu et al. 2023, section 5). Here it is the
smallest k measured at which full marks are below LEVEL, and at every larger k measured as well.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from training.plots import Point

LEVEL = 0.1


@dataclass(frozen=True)
class Saturation:
    """`k` is None if the student is above LEVEL at the largest k measured, `largest`.

    `sure` if the intervals say the same as the values: below LEVEL from `k` on, and not below it one k before.
    """

    k: int | None
    largest: int
    sure: bool

    def text(self) -> str:
        where = f"above {self.largest}, the largest k measured" if self.k is None else f"k = {self.k}"
        return where + ("" if self.sure else " (not sure: an interval holds the level)")


def saturation(scores: Mapping[int, Point]) -> Saturation | None:
    """The saturation point from full marks by k, with their intervals where there are any; None without scores."""
    if not scores:
        return None
    ks = sorted(scores)
    low_from = len(ks)
    while low_from and scores[ks[low_from - 1]].value < LEVEL:
        low_from -= 1
    below = [scores[k].interval for k in ks[low_from:]]
    before = [scores[k].interval for k in ks[max(0, low_from - 1) : low_from]]
    sure = all(one is not None and one.high < LEVEL for one in below) and all(
        one is not None and one.low >= LEVEL for one in before
    )
    return Saturation(ks[low_from] if low_from < len(ks) else None, ks[-1], sure)
