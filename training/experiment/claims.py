"""The paper's claims as tests on an experiment's own items.

A claim is one test or several for each model; it is supported if all of them are, and contradicted if one is. A
test compares two arms on the same items by full marks (training.seeds). The p-values of all tests together are
adjusted by Holm's method: where nothing differs, any claim gets a verdict with a chance of at most 5 %.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

from grading.safety.text import plain
from skillmix_tasks.items.pack import Split
from training.comparison import SPLITS
from training.experiment.layout import DASH, Section, Table
from training.experiment.measured import BASE, TEACHER, Read
from training.paired import holm
from training.power import LEVEL, MOST, items_needed
from training.seeds import Effect, compare_kinds

D1, D12, D123, SAMPLE = "D(1)", "D(1,2)", "D(1,2,3)", "8000 of D(1,2,3)"
Verdict = Literal["supported", "contradicted", "not settled", "not measured"]


@dataclass(frozen=True)
class Part:
    """One test of a claim: `second` has more full marks than `first` on the items of these k and splits."""

    first: str
    second: str
    ks: tuple[int, ...]
    splits: tuple[Split, ...] = ("all", "train", "heldout")


@dataclass(frozen=True)
class Claim:
    """A claim in words, and its tests."""

    name: str
    text: str
    parts: tuple[Part, ...]


_COMPOSED = (2, 3, 4, 5)
CLAIMS = (
    Claim(
        "larger k",
        "Texts with 2 and 3 skills raise k = 4 and 5, of which there is no text.",
        (Part(BASE, D123, (4,)), Part(BASE, D123, (5,))),
    ),
    Claim(
        "held-out",
        "Held-out skills rise, though only train skills were seen together.",
        (Part(BASE, D123, _COMPOSED, ("heldout",)),),
    ),
    Claim(
        "order",
        "D(1,2,3) beats D(1,2), which beats D(1).",
        (Part(D1, D12, _COMPOSED), Part(D12, D123, _COMPOSED)),
    ),
    Claim(
        "fewer texts",
        "Larger k is worth more than more texts of small k: 8,000 texts of D(1,2,3) beat all of D(1,2).",
        (Part(D12, SAMPLE, _COMPOSED),),
    ),
)


@dataclass(frozen=True)
class Tested:
    """A test with its result; `adjusted` is p after Holm, and `effect` None where nothing was measured.

    `level` is what p has to reach in Holm's first step, the strictest.
    """

    claim: Claim
    part: Part
    model: str
    effect: Effect | None
    seeds: tuple[int, int] = (0, 0)
    adjusted: float = 1.0
    verdict: Verdict = "not measured"
    level: float = LEVEL

    @cached_property
    def needed(self) -> int | None:
        """The items that would settle it, if the effect is as measured, with a chance of 80 %.

        None if it is settled, if no run has so many, and if trainings differ more than items do.
        """
        effect = self.effect
        if self.verdict != "not settled" or effect is None or effect.by_trainings or not effect.difference:
            return None
        discordant = max(effect.discordant, abs(effect.difference))
        items = items_needed(effect.first, effect.difference, discordant, self.level)
        return items and max(items, effect.items + 1)


def judge_claims(read: Read, models: Sequence[str], judge: str) -> list[Tested]:
    """Every test of every claim for each model that has a trained arm, under one judge."""
    trained = [
        model for model in models if any(one.model == model and one.arm not in (BASE, TEACHER) for one in read)
    ]
    found = [
        _measure(read, judge, model, claim, part) for claim in CLAIMS for model in trained for part in claim.parts
    ]
    return decide(found)


def decide(tests: Sequence[Tested]) -> list[Tested]:
    """The tests with adjusted p-values and verdicts."""
    adjusted = holm([test.effect.p for test in tests if test.effect])
    rest = iter(adjusted)
    return [_decided(test, test.effect, next(rest), len(adjusted)) if test.effect else test for test in tests]


def verdict_of(tests: Sequence[Tested]) -> Verdict:
    """The verdict on a claim from those on its tests."""
    verdicts = {test.verdict for test in tests}
    for verdict in ("contradicted", "not measured", "not settled"):
        if verdict in verdicts:
            return verdict
    return "supported" if verdicts else "not measured"


def claims_table(tests: Sequence[Tested], judge: str, *, conclusive: bool) -> Table:
    """The claims for a reader; without `conclusive` nobody gets a verdict."""
    summary, details = [], []
    for claim in CLAIMS:
        mine = [test for test in tests if test.claim is claim]
        summary.append([claim.text, verdict_of(mine) if conclusive else "no verdict"])
        details += [_row(test, conclusive=conclusive) for test in mine]
    number = sum(test.effect is not None for test in tests)
    notes = [
        f"Each test compares two trainings of a model on the same items by full marks, judged by {plain(judge)}. "
        "The effect is the second minus the first, with its 95 % interval. p is that of McNemar's exact test. "
        "With several seeds it is the larger of that test with strata and of a t-test that takes trainings as "
        "random, too.",
        f"`p (Holm)` is adjusted for all {number} tests. A test is settled if it is at most {LEVEL:.2g}. A claim "
        "is supported if all its tests are, and contradicted if one is settled the other way.",
        "Items that would settle a test are reckoned for the effect as measured and a chance of 80 %.",
        "D(1) shows each held-out skill alone. So the claim on held-out skills is on skills together.",
    ]
    if any(max(test.seeds) == 1 for test in tests):
        notes.append(
            "With one seed a verdict is on this training, not on trainings of its kind: a second seed may differ."
        )
    if not conclusive:
        notes.insert(
            0, "No verdict: this run only proves the chain. Its models and its items are too few and too small."
        )
    header = [
        *("claim", "model", "training", "verdict", "effect", "p", "p (Holm)", "items", "seeds", "k", "split"),
        "items to settle",
    ]
    return Table(
        "Claims",
        "What this experiment says of the paper's claims",
        notes,
        [Section("", ["claim", "verdict"], summary, names=2), Section("Tests", header, details, names=4)],
        [_record(test, conclusive=conclusive) for test in tests],
    )


def _measure(read: Read, judge: str, model: str, claim: Claim, part: Part) -> Tested:
    runs = {
        one: {
            (key, item): scores.full_marks
            for key, task in tasks.items()
            if key.k in part.ks and key.split in part.splits and not key.drop_common
            for item, scores in task.scores.items()
            if scores is not None
        }
        for one, tasks in read.items()
        if (one.judge, one.model) == (judge, model) and one.arm in (part.first, part.second)
    }
    sides = [[run for one, run in runs.items() if one.arm == arm] for arm in (part.first, part.second)]
    items = [item for item in next(iter(runs.values()), ()) if all(item in run for run in runs.values())]
    if not items or not all(sides):
        return Tested(claim, part, model, None)
    first, second = ([[run[item] for item in items] for run in side] for side in sides)
    return Tested(claim, part, model, compare_kinds(first, second), (len(first), len(second)))


def _decided(test: Tested, effect: Effect, adjusted: float, family: int) -> Tested:
    verdict: Verdict = "not settled"
    if adjusted <= LEVEL and effect.difference:
        verdict = "supported" if effect.difference > 0 else "contradicted"
    return replace(test, adjusted=adjusted, verdict=verdict, level=LEVEL / family)


def _row(test: Tested, *, conclusive: bool) -> list[str]:
    part, effect = test.part, test.effect
    verdict = test.verdict if conclusive else "no verdict"
    about = [test.claim.name, test.model, f"{part.first} to {part.second}", verdict]
    items = [", ".join(map(str, part.ks)), ", ".join(SPLITS[split] for split in part.splits)]
    if effect is None:
        return [*about, *[DASH] * 5, *items, DASH]
    interval = f" [{effect.interval.low:+.2f}, {effect.interval.high:+.2f}]" if effect.interval else ""
    return [
        *about,
        f"{effect.difference:+.2f}{interval}",
        f"{effect.p:.2g}",
        f"{test.adjusted:.2g}",
        f"{effect.items:,}",
        " and ".join(map(str, test.seeds)),
        *items,
        _needed(test, effect) if conclusive else DASH,
    ]


def _needed(test: Tested, effect: Effect) -> str:
    if test.verdict != "not settled":
        return DASH
    if effect.by_trainings:
        return "more seeds: trainings differ more than items"
    if test.needed is None:
        return f"more than {MOST:,}" if effect.difference else "no difference was seen"
    return f"{test.needed:,}"


def _record(test: Tested, *, conclusive: bool) -> dict[str, object]:
    effect = test.effect
    return {
        "claim": test.claim.name,
        "model": test.model,
        "first": test.part.first,
        "second": test.part.second,
        "k": ",".join(map(str, test.part.ks)),
        "splits": ",".join(test.part.splits),
        "items": effect.items if effect else None,
        "first_value": effect.first if effect else None,
        "second_value": effect.second if effect else None,
        "effect": effect.difference if effect else None,
        "low": effect.interval.low if effect and effect.interval else None,
        "high": effect.interval.high if effect and effect.interval else None,
        "p": effect.p if effect else None,
        "p_holm": test.adjusted if effect else None,
        "verdict": test.verdict if conclusive else None,
        "items_to_settle": test.needed if conclusive else None,
    }
