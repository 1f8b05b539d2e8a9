"""Counters of every try of a run, which add up exactly.

For each k: accepted + rejected by reason = attempted. Counts are plain JSON, and two of them can be added.
"""

from __future__ import annotations

from collections import Counter
from typing import Literal

from pydantic import BaseModel, Field

from grading import Usage
from grading.intervals import Interval, wilson
from skillmix_tasks.items.draw import Item
from training.texts.reasons import is_decided


class Tally(BaseModel, extra="forbid"):
    """Tries: all of them, those that were decided (training.texts.reasons.is_decided), and those accepted."""

    attempted: int = 0
    decided: int = 0
    accepted: int = 0

    @property
    def share(self) -> float:
        """Of accepted among decided, of which there is at least one."""
        return self.accepted / self.decided

    @property
    def interval(self) -> Interval:
        return wilson(self.accepted, self.decided)

    def count(self, reason: str | None) -> None:
        """Add one try; None is an acceptance."""
        self.attempted += 1
        self.decided += is_decided(reason)
        self.accepted += reason is None

    def add(self, other: Tally) -> None:
        self.attempted += other.attempted
        self.decided += other.decided
        self.accepted += other.accepted


class Spending(BaseModel, extra="forbid"):
    """Tokens, of which `cached` are part of `prompt`, and dollars: None if a price is unknown."""

    prompt: int = Field(default=0, ge=0)
    completion: int = Field(default=0, ge=0)
    cached: int = Field(default=0, ge=0)
    dollars: float | None = Field(default=0.0, ge=0, allow_inf_nan=False)

    def add(self, usage: Usage, dollars: float | None) -> None:
        """Add usage; an unknown figure stays unknown."""
        self.prompt += usage.prompt
        self.completion += usage.completion
        self.cached += usage.cached
        self.dollars = None if self.dollars is None or dollars is None else self.dollars + dollars


class KindCounts(BaseModel, extra="forbid"):
    """The counts of one k.

    `skills` has a tally for each skill's id. `pairs` has one for each pair of categories, "a + b" in the order of
    the alphabet, and only where k = 2. `sentences` and `words` count accepted texts by their length.
    """

    tally: Tally = Field(default_factory=Tally)
    rejected: Counter[str] = Field(default_factory=Counter)
    skills: dict[str, Tally] = Field(default_factory=dict)
    pairs: dict[str, Tally] = Field(default_factory=dict)
    sentences: Counter[int] = Field(default_factory=Counter)
    words: Counter[int] = Field(default_factory=Counter)
    teacher: Spending = Field(default_factory=Spending)
    judge: Spending = Field(default_factory=Spending)


class Counts(BaseModel, extra="forbid"):
    """The counts of a run, by k."""

    kinds: dict[int, KindCounts] = Field(default_factory=dict)

    def reasons(self) -> list[str]:
        """The reasons of all rejections, the most frequent first."""
        total = sum((kind.rejected for kind in self.kinds.values()), Counter())
        return sorted(total, key=lambda reason: (-total[reason], reason))

    @property
    def accepted(self) -> int:
        """Accepted texts of all k."""
        return sum(kind.tally.accepted for kind in self.kinds.values())

    def accept(self, item: Item, text: str, sentences: int) -> None:
        """One try was accepted, with the graded text and its number of sentences."""
        self._try(item, None)
        kind = self.kinds[item.k]
        kind.sentences[sentences] += 1
        kind.words[len(text.split())] += 1

    def reject(self, item: Item, reason: str) -> None:
        """One try was not accepted, for one of the reasons in training.texts.reasons."""
        self._try(item, reason)
        self.kinds[item.k].rejected[reason] += 1

    def spend(self, k: int, who: Literal["teacher", "judge"], usage: Usage, dollars: float | None) -> None:
        """Add the usage of calls for texts of `k` skills; `dollars` is None where the price is not known."""
        kind = self._kind(k)
        (kind.teacher if who == "teacher" else kind.judge).add(usage, dollars)

    def __add__(self, other: Counts) -> Counts:
        total = self.model_copy(deep=True)
        for k, theirs in other.kinds.items():
            ours = total._kind(k)
            ours.tally.add(theirs.tally)
            ours.rejected.update(theirs.rejected)
            ours.sentences.update(theirs.sentences)
            ours.words.update(theirs.words)
            for mine, others in ((ours.skills, theirs.skills), (ours.pairs, theirs.pairs)):
                for name, tally in others.items():
                    mine.setdefault(name, Tally()).add(tally)
            for sum_, spent in ((ours.teacher, theirs.teacher), (ours.judge, theirs.judge)):
                sum_.add(Usage(spent.prompt, spent.completion, spent.cached), spent.dollars)
        return total

    def check(self) -> None:
        """Assert that every try is accounted for, by reason, by skill, by pair and by length."""
        for k, kind in self.kinds.items():
            tally = kind.tally
            assert tally.accepted + kind.rejected.total() == tally.attempted, (k, tally, kind.rejected)
            assert tally.accepted <= tally.decided <= tally.attempted, (k, tally)
            assert kind.sentences.total() == kind.words.total() == tally.accepted, k
            for name, number in tally:
                assert sum(getattr(one, name) for one in kind.skills.values()) == k * number, (k, name)
                assert sum(getattr(one, name) for one in kind.pairs.values()) == number * (k == 2), (k, name)

    def _try(self, item: Item, reason: str | None) -> None:
        kind = self._kind(item.k)
        kind.tally.count(reason)
        for skill in item.skills:
            kind.skills.setdefault(skill.id, Tally()).count(reason)
        if item.k == 2:
            pair = " + ".join(sorted(skill.category for skill in item.skills))
            kind.pairs.setdefault(pair, Tally()).count(reason)

    def _kind(self, k: int) -> KindCounts:
        return self.kinds.setdefault(k, KindCounts())


def rate(tally: Tally) -> str:
    """Accepted of decided, as a share with its 95 % Wilson interval."""
    if not tally.decided:
        return "none decided"
    found = tally.interval
    share = f"{tally.share:.2f} ({found.low:.2f} to {found.high:.2f})"
    return f"{tally.accepted:,} of {tally.decided:,} = {share}"


def skill_tallies(counts: Counts) -> dict[str, Tally]:
    """The tallies of each skill's id over all k."""
    total: dict[str, Tally] = {}
    for kind in counts.kinds.values():
        for name, tally in kind.skills.items():
            total.setdefault(name, Tally()).add(tally)
    return total


def pair_tallies(counts: Counts) -> dict[str, Tally]:
    """The tallies of each pair of categories, at k = 2."""
    return counts.kinds[2].pairs if 2 in counts.kinds else {}
