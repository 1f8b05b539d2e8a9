"""Whether the tests of the paper's claims have the error rates that they promise, by simulation.

    python -m benchmarks.claim_errors [--runs 1000] [--only SCENARIO]

An experiment is simulated as it is judged: two models, k = 2 to 5 on three splits with 100 items each, a base
model and four arms with one seed or three. Items differ in difficulty, the same for all arms. Trainings of one arm
differ, where there are three of them, by a normal effect. Scenarios:

    null        no arm differs from another: every verdict is false
    jump        training helps, and all arms alike: a verdict on `order` or `fewer texts` is false
    steps       each set is better than the one before, as the claims say
    reversed    each set is worse than the one before
    plateau     D(1,2) helps, and further texts do not: a verdict on `fewer texts` or support of `order` is false;
                with one model, for which it is hardest not to be misled

A line for each scenario: the share of experiments in which each claim is supported and contradicted, and in which
any verdict is false. Exits with status 1 if a claim is falsely supported in more than 2.5 %, or any verdict is
false in more than 5 %, by more than two standard errors of the simulation.
"""

from __future__ import annotations

import argparse
import gc
import sys
from collections import Counter
from dataclasses import dataclass, field
from math import sqrt
from typing import Any

import numpy as np

from training.experiment.claims import CLAIMS, D1, D12, D123, SAMPLE, Tested, decide, verdict_of
from training.experiment.measured import BASE
from training.seeds import compare_kinds

Array = np.ndarray[Any, Any]
ITEMS, KS, SPLITS, MODELS = 100, (2, 3, 4, 5), ("all", "train", "heldout"), 2
_LEVEL = {2: 0.0, 3: -1.2, 4: -2.4, 5: -3.4}  # logits of full marks of the base model, at mean difficulty
_SPREAD = 1.5  # of the items' difficulty, in logits
_TRAININGS = 0.15  # of trainings of one arm, in logits, where there are several
_ARMS = (BASE, D1, D12, D123, SAMPLE)
SCENARIOS: dict[str, dict[str, float]] = {
    "null": {},
    "jump": dict.fromkeys((D1, D12, D123, SAMPLE), 1.0),
    "steps": {D1: 0.7, D12: 1.4, D123: 2.2, SAMPLE: 2.0},
    "reversed": {D1: 0.0, D12: -0.7, D123: -1.4, SAMPLE: -1.4},
    "plateau": {D1: 0.7, D12: 1.6, D123: 1.6, SAMPLE: 1.6},
}
_FALSE: dict[str, dict[str, tuple[str, ...]]] = {
    "null": {claim.name: ("supported", "contradicted") for claim in CLAIMS},
    "jump": dict.fromkeys(("order", "fewer texts"), ("supported", "contradicted"))
    | dict.fromkeys(("larger k", "held-out"), ("contradicted",)),
    "plateau": {
        "order": ("supported",),
        "fewer texts": ("supported", "contradicted"),
        "larger k": ("contradicted",),
        "held-out": ("contradicted",),
    },
    "steps": {claim.name: ("contradicted",) for claim in CLAIMS},
    "reversed": {claim.name: ("supported",) for claim in CLAIMS},
}


@dataclass
class Errors:
    """How often each claim got a verdict in `runs` experiments, and in how many any was false."""

    runs: int
    any_false: int = 0
    supported: Counter[str] = field(default_factory=Counter)
    contradicted: Counter[str] = field(default_factory=Counter)

    def line(self) -> str:
        """The shares, for a reader."""
        shares = ", ".join(
            f"{name} {self.supported[name] / self.runs:.3f}/{self.contradicted[name] / self.runs:.3f}"
            for name in _FALSE["null"]
        )
        return f"supported/contradicted: {shares}; any false: {self.any_false / self.runs:.3f}"

    def kept(self, scenario: str) -> bool:
        """Whether the promised rates were kept, within the error of so many runs."""
        false = _FALSE[scenario]
        return self.any_false <= _most(0.05, self.runs) and all(
            self.supported[name] <= _most(0.025, self.runs)
            for name, verdicts in false.items()
            if "supported" in verdicts
        )


def simulate(scenario: str, seeds: int, runs: int, start: int = 0) -> Errors:
    """The verdicts of `runs` experiments."""
    rng = np.random.default_rng([start, seeds, list(SCENARIOS).index(scenario)])
    errors = Errors(runs)
    ks = np.repeat(np.tile(KS, len(SPLITS)), ITEMS)
    splits = np.repeat(SPLITS, len(KS) * ITEMS)
    level = np.vectorize(_LEVEL.get)(ks)
    for _ in range(runs):
        ease = level + _SPREAD * rng.standard_normal(len(ks))
        tests = []
        for model in range(1 if scenario == "plateau" else MODELS):
            scores = {arm: _scores(rng, ease, SCENARIOS[scenario].get(arm, 0.0), arm, seeds) for arm in _ARMS}
            for claim in CLAIMS:
                for part in claim.parts:
                    mine = np.isin(ks, part.ks) & np.isin(splits, part.splits)
                    effect = compare_kinds(
                        scores[part.first][:, mine].tolist(), scores[part.second][:, mine].tolist()
                    )
                    tests.append(Tested(claim, part, str(model), effect))
        decided = decide(tests)
        verdicts = {claim.name: verdict_of([one for one in decided if one.claim is claim]) for claim in CLAIMS}
        errors.supported.update(name for name, verdict in verdicts.items() if verdict == "supported")
        errors.contradicted.update(name for name, verdict in verdicts.items() if verdict == "contradicted")
        errors.any_false += any(verdict in _FALSE[scenario].get(name, ()) for name, verdict in verdicts.items())
    return errors


def _scores(rng: np.random.Generator, ease: Array, effect: float, arm: str, seeds: int) -> Array:
    """Full marks of each training and item."""
    trainings = 1 if arm == BASE else seeds
    shift = rng.normal(0, _TRAININGS, trainings) if trainings > 1 else np.zeros(trainings)
    chance = 1 / (1 + np.exp(-(ease[None, :] + effect + shift[:, None])))
    return np.asarray(rng.random(chance.shape) < chance, dtype=float)


def _most(share: float, runs: int) -> float:
    return runs * share + 2 * sqrt(runs * share * (1 - share))


def main() -> None:
    """Run all simulations."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=1000)
    parser.add_argument("--only", choices=SCENARIOS)
    given = parser.parse_args()
    runs = given.runs
    gc.freeze()  # statsmodels collects garbage at each call of Holm's method
    kept = True
    for seeds in (1, 3):
        for scenario in [given.only] if given.only else SCENARIOS:
            errors = simulate(scenario, seeds, runs)
            kept &= errors.kept(scenario)
            sys.stdout.write(f"claim_errors seeds={seeds} {scenario} runs={runs} {errors.line()}\n")
            sys.stdout.flush()
    sys.exit(0 if kept else 1)


if __name__ == "__main__":
    main()
