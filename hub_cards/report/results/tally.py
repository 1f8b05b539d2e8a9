"""The figures of one run's samples, added up while they are read; nothing grows with the length of answers."""

from __future__ import annotations

import math
from collections import Counter, defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from pathlib import Path

from grading import UserError
from hub_cards.report.results.parties import digest
from hub_cards.report.results.runs import Run
from skillmix_tasks.scoring.metrics import METRICS, Scores
from skillmix_tasks.scoring.rubric import LENGTH
from skillmix_tasks.stored.samples import Generation, Named, Sample, kind_of, read_samples
from training.intervals import Share, clustered

KINDS = ("skill", "topic", "sense", "length")


@dataclass
class Points:
    """Numbers of points earned and decided, item by item."""

    earned: list[int] = field(default_factory=list)
    decided: list[int] = field(default_factory=list)

    def add(self, earned: Sequence[bool | None]) -> None:
        """The points of one item; those without a verdict count for nothing."""
        decided = [one for one in earned if one is not None]
        if decided:
            self.earned.append(sum(decided))
            self.decided.append(len(decided))

    def extend(self, other: Points) -> None:
        """Take the items of `other`, too."""
        self.earned += other.earned
        self.decided += other.decided

    def share(self) -> Share | None:
        """The share that is earned; None if no point is decided."""
        return clustered(self.earned, self.decided) if self.decided else None


@dataclass
class Tally:
    """One run's samples in figures.

    `scores` has for each item by its hash the three metrics, or None without a verdict. `skills` has each
    skill's points, `pairs` for two categories those of both skills being earned at once, `names` the skills by
    id. `split` counts the points on which votes disagree, and `voted` those with several votes, by kind; `code`
    why points were lost in code. `judged` has for an item and an answer, both by hash, the points that the judge
    decided.
    """

    scores: dict[str, Scores | None] = field(default_factory=dict)
    judged: dict[tuple[str, str], dict[str, bool]] = field(default_factory=dict)
    kinds: dict[str, Points] = field(default_factory=lambda: {kind: Points() for kind in KINDS})
    skills: defaultdict[str, Points] = field(default_factory=lambda: defaultdict(Points))
    pairs: defaultdict[tuple[str, str], Points] = field(default_factory=lambda: defaultdict(Points))
    names: dict[str, Named] = field(default_factory=dict)
    split: Counter[str] = field(default_factory=Counter)
    voted: Counter[str] = field(default_factory=Counter)
    code: Counter[str] = field(default_factory=Counter)

    def add(self, sample: Sample, generations: Sequence[Generation]) -> None:
        self.scores[sample.doc.hash] = sample.scores
        for kind in KINDS:
            self.kinds[kind].add(
                [one for g in generations for point, one in g.points.items() if kind_of(point) == kind]
            )
        self._add_skills(sample, generations)
        for generation in generations:
            decided = {
                point: earned
                for point, earned in generation.points.items()
                if earned is not None and point != LENGTH and point not in generation.lost_in_code
            }
            if not generation.void:
                self.judged[sample.doc.hash, digest(generation.answer)] = decided
            self.voted.update(kind_of(point) for point in generation.voted_points)
            self.split.update(kind_of(point) for point in generation.split_points)
            if generation.void:
                self.code[f"the answer is void: {generation.void}"] += 1
            self.code.update(loss.kind for loss in generation.lost_in_code.values())

    def _add_skills(self, sample: Sample, generations: Sequence[Generation]) -> None:
        points = {f"s{number}": skill for number, skill in enumerate(sample.doc.skills, start=1)}
        for point, skill in points.items():
            self.names.setdefault(skill.id, skill)
            self.skills[skill.id].add([g.points[point] for g in generations])
        for (one, first), (other, second) in combinations(points.items(), 2):
            low, high = sorted((first.category, second.category))
            self.pairs[low, high].add([_both(g.points[one], g.points[other]) for g in generations])

    def check(self, run: Run) -> None:
        """Raise UserError unless the samples give the scores of the results file beside them."""
        known = [scores for scores in self.scores.values() if scores is not None]
        same = len(self.scores) == run.items and len(known) == run.covered
        for place, metric in enumerate(METRICS):
            score = run.scores[metric]
            if same and (known or score is not None):
                mean = math.fsum(one[place] for one in known) / len(known) if known else math.nan
                same = score is not None and math.isclose(mean, score.value, abs_tol=1e-9)
        if not same:
            raise UserError(
                f"{run.samples} and {run.source} do not belong together: they give different scores for "
                f"{run.task}. Put back the files that lm-eval wrote, or remove the samples to report the results "
                "alone."
            )


def read_tally(
    run: Run,
    source: Path | bytes | None = None,
    take: Callable[[Sample, Sequence[Generation]], None] | None = None,
) -> Tally:
    """The tally of a run's samples, each of which goes to `take`, too; `source` is read in place of their file.

    Raises UserError if a line is not a sample of this release, or the samples do not match the run's results.
    """
    assert run.samples is not None
    tally = Tally()
    for sample, generations in read_samples(run.samples if source is None else source, run.samples):
        tally.add(sample, generations)
        if take is not None:
            take(sample, generations)
    tally.check(run)
    return tally


def _both(one: bool | None, other: bool | None) -> bool | None:
    """Whether both are earned; one that is lost decides that."""
    if one is False or other is False:
        return False
    return None if one is None or other is None else True
