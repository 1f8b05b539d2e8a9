"""How many items a paired comparison needs to see a difference, computed exactly for McNemar's exact test."""

from __future__ import annotations

from bisect import bisect_left

import numpy as np
from scipy.stats import binom

from grading import UserError
from grading.intervals import CONFIDENCE

LEVEL = 1 - CONFIDENCE  # of a two-sided test
POWER = 0.8
MOST = 20_000  # items; beyond that no run of this benchmark goes


def discordant_share(rate: float, difference: float) -> float:
    """The share of items on which two students differ who are right independently, at `rate` and `difference`
    more.

    Real students differ on fewer, as some items are hard for both; then fewer items are needed.
    """
    other = rate + difference
    return rate * (1 - other) + other * (1 - rate)


def power(items: int, difference: float, discordant: float, level: float = LEVEL) -> float:
    """The chance that the test finds a true `difference` with `items` items, of which a share is `discordant`.

    The test is two-sided at `level`.
    """
    differing = np.arange(items + 1)
    favour = (discordant + difference) / 2 / discordant
    # The most losses with which the test still rejects; -1 where no number of losses is few enough.
    few = binom.ppf(level / 2, differing, 0.5)
    few = np.where(2 * binom.cdf(few, differing, 0.5) <= level, few, few - 1)
    rejects = binom.cdf(few, differing, favour) + binom.cdf(few, differing, 1 - favour)
    return float(np.sum(binom.pmf(differing, items, discordant) * rejects))


def items_needed(
    rate: float, difference: float, discordant: float | None = None, level: float = LEVEL
) -> int | None:
    """The items with which a true difference is found with the chance POWER; None if they are more than MOST.

    `rate` is the first student's score and `difference` the second's score minus it. UserError for impossible
    numbers.
    """
    if difference == 0 or not (0 <= rate <= 1 and 0 <= rate + difference <= 1):
        raise UserError(
            f"A rate of {rate:g} and a difference of {difference:g} are not valid: the difference must not be 0, "
            "and the rate, and rate plus difference, must lie between 0 and 1."
        )
    if discordant is None:
        discordant = discordant_share(rate, difference)
    if not abs(difference) <= discordant <= 1:
        raise UserError(
            f"With a difference of {difference:g} the share of items on which the two differ lies between "
            f"{abs(difference):g} and 1, not at {discordant:g}."
        )
    high = 8
    while power(high, difference, discordant, level) < POWER:
        high *= 2
        if high > MOST:
            return None
    between = range(high // 2, high)
    return between.start + bisect_left(
        between, True, key=lambda items: power(items, difference, discordant, level) >= POWER
    )
