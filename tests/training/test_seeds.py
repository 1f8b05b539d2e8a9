"""Several trainings compared: exact, against all ways to share the marks, and with trainings as random."""

from __future__ import annotations

from itertools import combinations, product

import numpy as np
import pytest

from training.paired import compare
from training.seeds import _exact, compare_kinds, mean_of


def every_way(first: list[list[float]], second: list[list[float]]) -> float:
    """The two-sided p by trying, for each item, all ways to choose which scores are the first kind's."""
    rows = [*first, *second]
    items = list(zip(*rows, strict=True))
    ways = [
        [sum(item[one] for one in mine) for mine in combinations(range(len(rows)), len(first))] for item in items
    ]
    have = sum(map(sum, first))
    sums = [sum(way) for way in product(*ways)]
    low, high = sum(one <= have for one in sums), sum(one >= have for one in sums)
    return float(min(1.0, 2 * min(low, high) / len(sums)))


def test_one_training_each_is_mcnemar():
    first, second = [0.0, 0, 0, 0, 0, 0, 1, 1], [1.0, 1, 1, 1, 1, 0, 1, 0]
    found, expected = compare_kinds([first], [second]), compare(first, second)
    assert (found.p, found.interval) == (expected.p, expected.interval)
    assert found.p == pytest.approx(2 * (1 + 6) / 2**6)  # 5 better, 1 worse
    assert found.discordant == 6 / 8


def test_the_exact_p_is_that_of_all_ways():
    base = [[0.0, 0, 0, 1, 0]]
    trained = [[1.0, 1, 0, 1, 1], [1.0, 1, 1, 1, 0], [1.0, 1, 0, 1, 1]]
    found = compare_kinds(base, trained)
    assert found.p >= every_way(base, trained)

    assert _exact(np.array(base), np.array(trained)) == pytest.approx(every_way(base, trained))
    two = [[1.0, 0, 0, 1, 0], [0.0, 0, 1, 0, 0]]
    assert _exact(np.array(two), np.array(trained)) == pytest.approx(every_way(two, trained))
    one = [[0.0, 0, 1, 0, 1]]
    assert _exact(np.array(base), np.array(one)) == pytest.approx(compare(base[0], one[0]).p)


def test_trainings_that_differ_much_settle_nothing():
    items = 200
    base = [[0.0] * items]
    alike = [[1.0] * 40 + [0.0] * 160, [0.0] * 10 + [1.0] * 40 + [0.0] * 150, [0.0] * 5 + [1.0] * 41 + [0.0] * 154]
    unlike = [[1.0] * 115 + [0.0] * 85, [0.0] * items, [1.0] * 5 + [0.0] * 195]
    sure, unsure = compare_kinds(base, alike), compare_kinds(base, unlike)
    assert sure.difference == pytest.approx(121 / 600)
    assert unsure.difference == pytest.approx(120 / 600)
    assert sure.p < 1e-6 < 0.1 < unsure.p
    assert not sure.by_trainings
    assert unsure.by_trainings
    assert sure.interval is not None
    assert unsure.interval is not None
    assert sure.interval.low > 0 > unsure.interval.low


def test_the_mean_of_several_trainings():
    one = mean_of([[1.0, 0, 0, 0]])
    assert (one.value, one.error) == (0.25, 0.25)
    three = mean_of([[1.0, 0, 0, 0], [1.0, 1, 0, 0], [1.0, 0, 0, 0]])
    assert three.value == pytest.approx(1 / 3)
    # Items 1, 1/3, 0, 0 have the variance 2/9 (mean 1/3); trainings 1/4, 1/2, 1/4 have 1/48.
    assert three.error == pytest.approx((2 / 9 / 4 + 1 / 48 / 3) ** 0.5)
    assert 0 <= three.interval.low < 1 / 3 < three.interval.high <= 1
    nothing = mean_of([[0.0] * 50, [0.0] * 50])
    assert (nothing.value, nothing.error) == (0, 0)
    assert nothing.interval.high == pytest.approx(mean_of([[0.0] * 50]).interval.high)
