"""The scores of a samples file, computed anew from the points of its answers; nothing of ours is used."""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Anew:
    """Of one task: the items' full marks and skill fractions by hash (None without a verdict), and the bounds."""

    full: dict[str, int | None]
    fraction: dict[str, float | None]
    low: float
    high: float

    @property
    def known(self) -> list[int]:
        return [one for one in self.full.values() if one is not None]


def anew(folder: Path, task: str) -> Anew:
    [file] = folder.glob(f"**/samples_{task}_*.jsonl")
    full: dict[str, int | None] = {}
    fraction: dict[str, float | None] = {}
    lows, highs = [], []
    for line in file.read_text(encoding="utf-8").splitlines():
        sample = json.loads(line)
        points = [json.loads(text)["points"] for text in sample["filtered_resps"]]
        decided = all(value is not None for one in points for value in one.values())
        item = sample["doc"]["hash"]
        full[item] = max(int(all(one.values())) for one in points) if decided else None
        fraction[item] = max(_fraction(one) for one in points) if decided else None
        lows.append(any(all(value is True for value in one.values()) for one in points))
        highs.append(any(all(value is not False for value in one.values()) for one in points))
    return Anew(full, fraction, sum(lows) / len(lows), sum(highs) / len(highs))


def _fraction(points: dict[str, bool]) -> float:
    skills = [value for name, value in points.items() if name[0] == "s" and name[1:].isdigit()]
    rest = [points["topic"], points["sense"], points["length"]]
    return sum(skills) / len(skills) if all(rest) else 0.0


def wilson(successes: int, trials: int) -> tuple[float, float]:
    """By Wilson's own formula."""
    z, share = 1.959963984540054, successes / trials
    middle = share + z * z / (2 * trials)
    spread = z * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials * trials))
    scale = 1 + z * z / trials
    return (middle - spread) / scale, (middle + spread) / scale


def mcnemar(better: int, worse: int) -> float:
    """Twice the smaller tail of fair coins, summed."""
    flips = better + worse
    tail: float = sum(math.comb(flips, one) for one in range(min(better, worse) + 1)) / 2**flips
    return min(1.0, 2 * tail)
