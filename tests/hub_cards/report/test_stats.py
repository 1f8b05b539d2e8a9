"""The statistics against published examples, other code, and exact reckoning. Coverage: benchmarks."""

from __future__ import annotations

import itertools
import math

import pytest

from grading import UserError
from grading.intervals import Interval
from hub_cards.report.stats.novelty import Corpus, corpus_of, novel_share, sensitivity
from hub_cards.report.stats.saturation import saturation
from hub_cards.report.study.board import Cell
from hub_cards.report.study.change import Difference, change_of_gap, independent
from tests.hub_cards.report.anew import mcnemar, wilson
from training.intervals import clustered, mean_interval, scores_interval
from training.paired import compare, holm, paired_interval
from training.power import discordant_share, items_needed, power
from training.published import load_published


@pytest.mark.parametrize(("right", "items"), [(0, 10), (10, 10), (3, 100), (50, 100)])
def test_yes_no_scores_have_wilsons_interval(right: int, items: int):
    found = scores_interval([1.0] * right + [0.0] * (items - right))
    assert (found.low, found.high) == pytest.approx(wilson(right, items), abs=1e-9)
    assert found.low < found.high


def test_points_of_an_item_do_not_count_as_independent():
    apart = clustered([1, 0] * 50, [1, 1] * 50)
    together = clustered([10, 0] * 5, [10, 10] * 5)
    assert apart.value == together.value == 0.5
    assert together.interval.high - together.interval.low > 2.5 * (apart.interval.high - apart.interval.low)
    alike = clustered([4] * 3, [4] * 3)  # all earned: three items tell no more than three yes/no scores
    assert (alike.interval.low, alike.interval.high) == pytest.approx(wilson(3, 3), abs=1e-9)


def test_scores_that_vary_little_have_a_narrow_interval_and_equal_ones_do_not():
    narrow, equal = mean_interval(0.5, 0.01, 100), mean_interval(0.5, 0.0, 100)
    assert narrow.high - narrow.low == pytest.approx(2 * 1.984 * 0.01, rel=0.02)  # nearly Student's
    assert (equal.low, equal.high) == pytest.approx(wilson(50, 100), abs=1e-9)


@pytest.mark.parametrize(
    ("counts", "low", "high"),
    # Newcombe 1998, table III, method 10; there the difference is lost minus won.
    [((36, 2, 12, 0), 0.0569, 0.3404), ((36, 0, 14, 0), 0.1528, 0.4167), ((0, 0, 0, 50), -0.0714, 0.0714)],
)
def test_paired_intervals_are_newcombes(counts: tuple[int, int, int, int], low: float, high: float):
    found = paired_interval(*counts)
    assert (-found.high, -found.low) == pytest.approx((low, high), abs=1e-4)


@pytest.mark.parametrize(("better", "worse"), [(0, 0), (5, 0), (7, 2), (3, 3)])
def test_yes_no_scores_have_mcnemars_exact_test(better: int, worse: int):
    first = [0.0] * better + [1.0] * worse + [1.0, 0.0]
    second = [1.0] * better + [0.0] * worse + [1.0, 0.0]
    found = compare(first, second)
    assert (found.better, found.worse) == (better, worse)
    assert found.p == pytest.approx(mcnemar(better, worse))


def test_fractions_have_a_permutation_test_that_is_exact_for_few_items():
    first, second = [0.0, 0.25, 0.5, 0.0, 0.25], [0.5, 0.5, 0.75, 0.0, 0.75]
    found = compare(first, second)
    differences = [b - a for a, b in zip(first, second, strict=True)]
    sums = [
        sum(s * d for s, d in zip(signs, differences, strict=True))
        for signs in itertools.product((1, -1), repeat=5)
    ]
    assert found.p == pytest.approx(sum(abs(one) >= sum(differences) - 1e-12 for one in sums) / len(sums))
    assert found.interval is not None
    assert found.interval.low < found.difference < found.interval.high
    assert compare([0.25, 0.5], [0.5, 0.75]).interval is None  # all differ alike


def test_holm():
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([]) == []


def test_power_is_the_sum_over_all_outcomes():
    items, difference, discordant = 12, 0.5, 0.7
    win, lose = (discordant + difference) / 2, (discordant - difference) / 2
    exact = 0.0
    for better in range(items + 1):
        for worse in range(items + 1 - better):
            ways = math.comb(items, better) * math.comb(items - better, worse)
            chance = ways * win**better * lose**worse * (1 - discordant) ** (items - better - worse)
            exact += chance * (mcnemar(better, worse) <= 0.05)
    assert power(items, difference, discordant) == pytest.approx(exact)


def test_items_needed_are_enough_and_not_many_too_many():
    needed = items_needed(0.3, 0.2)
    assert needed is not None
    share = discordant_share(0.3, 0.2)
    assert power(needed, 0.2, share) >= 0.8 > power(needed - 5, 0.2, share)
    assert items_needed(0.3, 0.0005) is None
    for rate, difference, discordant in ((0.3, 0.0, None), (0.3, 0.9, None), (0.3, 0.2, 0.1)):
        with pytest.raises(UserError):
            items_needed(rate, difference, discordant)


def test_the_bound_gives_both_papers_figures():
    assert round(Corpus().bound(5), 2) == 0.07
    assert round(Corpus().bound(6), 3) == 0.001
    assert round(corpus_of(tokens=2e12).bound(5), 2) == 0.11
    assert Corpus().bound(2) == 1
    assert novel_share(0.12, 0.08) == pytest.approx(1 / 3)  # the paper's "more than 3/2 of the bound"
    assert novel_share(0.05, 0.07) == novel_share(0, 0.07) == 0
    half, double = sensitivity(Corpus(), 5)["topic"]
    assert double / half == pytest.approx(4)
    with pytest.raises(UserError, match="--skill-frequency"):
        corpus_of(skill=2)


def cell(value: float, *interval: float) -> Cell:
    return Cell(value, Interval(*interval) if interval else None, None, None, None, None, None)


def test_saturation_points_of_the_published_students():
    def point(student: str):
        rows = [row for row in load_published() if row.student == student and "leaderboard" not in row.training]
        return saturation({row.k: cell(row.full_marks) for row in rows if row.common_dropped})

    found = {student: point(student) for student in ("GPT-4", "GPT-3.5-turbo", "LLaMA-2-7B-Chat")}
    assert {name: one.k for name, one in found.items() if one} == {
        "GPT-4": 6,
        "GPT-3.5-turbo": 3,
        "LLaMA-2-7B-Chat": 2,
    }
    sure = saturation({2: cell(0.5, 0.4, 0.6), 3: cell(0.02, 0.0, 0.07)})
    assert sure is not None
    assert (sure.k, sure.sure) == (3, True)
    above = saturation({2: cell(0.02, 0.0, 0.07), 3: cell(0.3, 0.05, 0.5)})
    assert above is not None
    assert (above.k, above.largest, above.sure) == (None, 3, False)
    assert saturation({}) is None


def test_the_gap_and_its_change():
    gap = independent(10, 100, 30, 100)
    assert gap.value == pytest.approx(0.2)
    assert 0 < gap.interval.low < 0.2 < gap.interval.high
    change = change_of_gap(Difference(0.3, Interval(0.2, 0.4)), Difference(0.1, Interval(0.0, 0.2)))
    assert change.value == pytest.approx(0.2)
    assert change.interval.low == pytest.approx(0.2 - math.sqrt(0.02))
    assert change.interval.high == pytest.approx(0.2 + math.sqrt(0.02))
