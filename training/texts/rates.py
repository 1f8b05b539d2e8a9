"""Shares of accepted texts, with their uncertainty."""

from __future__ import annotations

from grading.intervals import wilson
from training.texts.counts import Counts, Tally


def rate(tally: Tally) -> str:
    """Accepted of decided, as a share with its 95 % Wilson interval."""
    if not tally.decided:
        return "none decided"
    low, high = interval(tally)
    share = tally.accepted / tally.decided
    return f"{tally.accepted:,} of {tally.decided:,} = {share:.2f} ({low:.2f} to {high:.2f})"


def interval(tally: Tally) -> tuple[float, float]:
    """The 95 % Wilson interval of the share of accepted among decided, of which there is at least one."""
    return wilson(tally.accepted, tally.decided)


def skill_tallies(counts: Counts) -> dict[str, Tally]:
    """The tallies of each skill's id over all k."""
    total: dict[str, Tally] = {}
    for kind in counts.kinds.values():
        for name, tally in kind.skills.items():
            total.setdefault(name, Tally()).add(tally)
    return total


def pair_tallies(counts: Counts) -> dict[str, Tally]:
    """The tallies of each pair of categories, at k = 2."""
    return counts.kinds[2].pairs if 2 in counts.kinds else {}
