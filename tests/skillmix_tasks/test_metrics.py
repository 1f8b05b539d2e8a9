from __future__ import annotations

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st
from lm_eval import evaluator_utils
from lm_eval.api.metrics import mean, mean_stderr

from grading import UserError
from skillmix_tasks.harness.lm_eval_internals import scored_mean
from skillmix_tasks.scoring.metrics import METRICS, generation_metrics, item_metrics


def points(skills: str, rest: str = "111") -> dict[str, bool | None]:
    """Points from digits; "?" is undecided. `rest` is topic, sense, length."""
    value = {"1": True, "0": False, "?": None}
    names = [f"s{number}" for number in range(1, len(skills) + 1)] + ["topic", "sense", "length"]
    return {name: value[digit] for name, digit in zip(names, skills + rest, strict=True)}


@pytest.mark.parametrize(
    ("skills", "rest", "expected"),
    [
        ("11", "111", (1, 1, 1)),
        ("11", "110", (0, 1, 0)),
        ("11", "100", (0, 0, 0)),
        ("10", "111", (0, 0, 0.5)),
        ("10", "011", (0, 0, 0)),
        ("1101", "111", (0, 0, 0.75)),
        ("0", "111", (0, 0, 0)),
    ],
)
def test_the_metrics_of_one_generation(skills: str, rest: str, expected):
    decided = {name: bool(earned) for name, earned in points(skills, rest).items()}
    assert generation_metrics(decided) == dict(zip(METRICS, expected, strict=True))


def test_an_item_takes_the_best_of_each_metric():
    scores = item_metrics([points("110", "111"), points("111", "110"), points("000", "000")])
    assert [scores[metric] for metric in METRICS] == [0, 1, pytest.approx(2 / 3)]
    assert scores["coverage"] == 1
    assert scores["full_marks_low"] == scores["full_marks_high"] == 0


def test_an_item_with_a_point_undecided_has_no_score():
    scores = item_metrics([points("11"), points("1?"), points("00")])
    assert all(math.isnan(scores[metric]) for metric in METRICS)
    assert scores["coverage"] == 0
    assert (scores["full_marks_low"], scores["full_marks_high"]) == (1, 1)  # whatever the missing point is


GENERATIONS = st.lists(st.text("01?", min_size=5, max_size=5), min_size=3, max_size=3)


@given(GENERATIONS)
def test_the_bounds_are_the_extremes_over_all_that_could_be_missing(generations: list[str]):
    scores = item_metrics([points(text[:2], text[2:]) for text in generations])
    text = "".join(generations)
    possible = set()
    for filling in itertools.islice(itertools.product("01", repeat=text.count("?")), 1 << 15):
        digits = iter(filling)
        full = "".join(next(digits) if c == "?" else c for c in text)
        possible.add(max(float(full[i : i + 5] == "11111") for i in (0, 5, 10)))
    assert (scores["full_marks_low"], scores["full_marks_high"]) == (min(possible), max(possible))
    assert scores["coverage"] == float("?" not in text)


def test_the_standard_error_is_that_of_the_scored_items():
    error = evaluator_utils.stderr_for_metric(metric=scored_mean, bootstrap_iters=100_000)
    assert scored_mean([1.0, math.nan, 0.0, 1.0]) == pytest.approx(2 / 3)
    assert error([1.0, math.nan, 0.0, 1.0]) == pytest.approx(mean_stderr([1.0, 0.0, 1.0]))
    assert math.isnan(scored_mean([math.nan]))
    assert math.isnan(error([math.nan, 1.0]))
    assert evaluator_utils.stderr_for_metric(metric=mean, bootstrap_iters=1) is mean_stderr


def test_an_item_has_a_generation():
    with pytest.raises(UserError, match="at least one"):
        item_metrics([])
