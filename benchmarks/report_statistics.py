"""Whether the report's intervals and tests keep what they promise, by simulation.

    python -m benchmarks.report_statistics [--runs 100000]

A run is simulated as it is made: items differ in difficulty, an item has three generations, a generation is
worth full marks or not, three votes see that rightly nine times in ten, the majority counts, and the best
generation is the item's score. The share of items with full marks is set to each rate exactly. Lines with the
share of runs in which a 95 % interval holds the true value; then the share in which two students of the same
rate are found different at 5 %. Exits with status 1 if an interval of full marks covers less than 93 or more
than 98 %, or if a test is wrong in more than 6 %.
"""

from __future__ import annotations

import argparse
import sys
from functools import cache
from typing import Any

import numpy as np
from scipy.optimize import brentq

from training.intervals import clustered, mean_interval, scores_interval
from training.paired import compare, paired_interval

Array = np.ndarray[Any, Any]
_GENERATIONS = 3
_WRONG = 0.1  # of a vote
_SPREAD = 1.5  # of the items' difficulty, in logits
_RIGHT = (1 - _WRONG) ** 2 * (1 + 2 * _WRONG)  # of the majority of three
_PART = 5_000  # runs at once
_NODES, _WEIGHTS = np.polynomial.hermite_e.hermegauss(101)
_RATES = (0.02, 0.15, 0.5, 0.95)


def main() -> None:
    """Run all simulations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=100_000)
    runs = parser.parse_args().runs
    rng = np.random.default_rng(0)
    kept = True
    for items in (30, 100, 300):
        for rate in _RATES:
            covered, false = _full_marks(rng, runs, items, rate)
            kept &= items != 100 or 0.93 <= covered <= 0.98
            kept &= false <= 0.06
            _tell("full_marks", f"items={items} rate={rate:g} covered={covered:.4f} paired_test_false={false:.4f}")
    for rate in _RATES:
        covered = _changes(rng, runs, 100, rate)
        _tell("paired_interval", f"items=100 rate={rate:g} change={_change(rate):+.2f} covered={covered:.4f}")
    for level in (-2.0, 0.0, 2.0):
        truth, covered = _fractions(rng, min(runs, 5_000), 100, level)
        _tell("skill_fraction", f"items=100 mean={truth:.2f} covered={covered:.3f}")
    false = _fractions_test(rng, 400, 30, 0.0)  # permutations are slow
    kept &= false <= 0.06 + 2 * (0.05 * 0.95 / 400) ** 0.5  # within the error of so few runs
    _tell("skill_fraction", f"items=30 paired_test_false={false:.3f}")
    for level in (-2.0, 0.0, 2.0):
        truth, covered = _points(rng, min(runs, 5_000), 100, level)
        _tell("points", f"items=100 share={truth:.2f} covered={covered:.3f}")
    sys.exit(0 if kept else 1)


def _tell(what: str, figures: str) -> None:
    sys.stdout.write(f"report_statistics {what} {figures}\n")
    sys.stdout.flush()


def _logistic(value: Array) -> Array:
    return np.asarray(1 / (1 + np.exp(-value)))


def _judged(worth: Array) -> Array:
    """The chance that a generation with the chance `worth` of full marks gets them from the majority."""
    return worth * _RIGHT + (1 - worth) * (1 - _RIGHT)


def _rate(ease: float) -> float:
    chances = _judged(_logistic(ease + _SPREAD * _NODES) ** 3)
    return float(np.sum(_WEIGHTS * (1 - (1 - chances) ** _GENERATIONS)) / np.sum(_WEIGHTS))


@cache
def _ease(rate: float) -> float:
    """How easy items are on which a share `rate` gets full marks, false grants of the judge included."""
    if rate <= _rate(-40):
        raise ValueError(f"votes this often wrong give {_rate(-40):.3f} to the worst student")
    return float(brentq(lambda ease: _rate(ease) - rate, -40, 40))


def _scores(rng: np.random.Generator, difficulty: Array, rate: float) -> Array:
    """Full marks of each run and item."""
    shape = (*difficulty.shape, _GENERATIONS)
    if rate <= _rate(-40):  # a fair judge, then: only so can so few be given
        chances = np.full(shape, 1 - (1 - rate) ** (1 / _GENERATIONS))
        return np.asarray((rng.random(shape) < chances).any(-1))
    worth = rng.random(shape) < (_logistic(_ease(rate) + _SPREAD * difficulty) ** 3)[..., None]
    right = (rng.random((*shape, 3)) >= _WRONG).sum(-1) >= 2
    return np.asarray((worth == right).any(-1))


def _full_marks(rng: np.random.Generator, runs: int, items: int, rate: float) -> tuple[float, float]:
    intervals = [scores_interval([1.0] * count + [0.0] * (items - count)) for count in range(items + 1)]
    holds = np.array([one.low <= rate <= one.high for one in intervals])

    @cache
    def rejects(better: int, worse: int) -> bool:
        return compare([0.0] * better + [1.0] * worse + [0.0], [1.0] * better + [0.0] * worse + [0.0]).p <= 0.05

    covered = false = 0
    for start in range(0, runs, _PART):
        difficulty = rng.standard_normal((min(_PART, runs - start), items))
        one, other = _scores(rng, difficulty, rate), _scores(rng, difficulty, rate)
        covered += int(holds[one.sum(1)].sum())
        for better, worse in zip((other & ~one).sum(1), (one & ~other).sum(1), strict=True):
            false += rejects(int(better), int(worse))
    return covered / runs, false / runs


def _change(rate: float) -> float:
    return 0.15 if rate < 0.5 else -0.15


def _changes(rng: np.random.Generator, runs: int, items: int, rate: float) -> float:
    @cache
    def holds(both: int, won: int, lost: int) -> bool:
        found = paired_interval(both, won, lost, items - both - won - lost)
        return found.low <= _change(rate) <= found.high

    covered = 0
    for start in range(0, runs, _PART):
        difficulty = rng.standard_normal((min(_PART, runs - start), items))
        one, other = _scores(rng, difficulty, rate), _scores(rng, difficulty, rate + _change(rate))
        for counts in zip((one & other).sum(1), (other & ~one).sum(1), (one & ~other).sum(1), strict=True):
            covered += holds(*(int(count) for count in counts))
    return covered / runs


def _fraction_scores(rng: np.random.Generator, difficulty: Array, level: float) -> Array:
    """Skill fractions with k = 4 of each item."""
    chance = _logistic(level + _SPREAD * difficulty)[..., None]
    skills = (rng.random((*difficulty.shape, _GENERATIONS, 4)) < chance[..., None]).mean(-1)
    rest = rng.random((*difficulty.shape, _GENERATIONS)) < _logistic(level + 1 + _SPREAD * difficulty)[..., None]
    return np.asarray((skills * rest).max(-1))


def _fractions(rng: np.random.Generator, runs: int, items: int, level: float) -> tuple[float, float]:
    truth = float(_fraction_scores(rng, rng.standard_normal((20_000, items)), level).mean())
    covered = 0
    for scores in _fraction_scores(rng, rng.standard_normal((runs, items)), level):
        interval = mean_interval(float(scores.mean()), float(scores.std(ddof=1)) / items**0.5, items)
        covered += interval.low <= truth <= interval.high
    return truth, covered / runs


def _fractions_test(rng: np.random.Generator, runs: int, items: int, level: float) -> float:
    false = 0
    for difficulty in rng.standard_normal((runs, items)):
        one, other = (_fraction_scores(rng, difficulty, level) for _ in range(2))
        false += compare(list(one), list(other)).p <= 0.05
    return false / runs


def _points(rng: np.random.Generator, runs: int, items: int, level: float) -> tuple[float, float]:
    """The share of single points that are earned: 12 of them in an item, which hang together."""
    truth = float(np.sum(_WEIGHTS * _logistic(level + _SPREAD * _NODES)) / np.sum(_WEIGHTS))
    covered = 0
    for _ in range(runs):
        chance = _logistic(level + _SPREAD * rng.standard_normal(items))
        earned = rng.binomial(12, chance)
        interval = clustered([int(one) for one in earned], [12] * items).interval
        covered += interval.low <= truth <= interval.high
    return truth, covered / runs


if __name__ == "__main__":
    main()
