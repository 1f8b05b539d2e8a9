"""What an experiment measured: for each model, arm, seed and judge a folder of results."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

BASE = "base"  # the arm of a model as it was before training


@dataclass(frozen=True)
class Measured:
    """Results of one model under one judge: `results` holds results_*.json of lm-eval with their samples.

    `arm` is BASE or the arm's name. `seed` is the training's, None for a base model, which has none.
    """

    model: str
    arm: str
    seed: int | None
    judge: str
    results: Path
