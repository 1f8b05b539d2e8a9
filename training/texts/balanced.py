"""Cells drawn so that whatever is first taken of them is even.

Skills, topics and, for k = 2, pairs of categories are dealt in rounds: each round deals every one of them once,
in an order of its own. So at any place of the stream each was dealt equally often within one.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations_with_replacement, count

from skillmix_tasks.items.draw import ranked
from skillmix_tasks.items.pack import Skill
from training.data.cells import Cell


def balanced_cells(
    stream: str, *, k: int, skills: Sequence[Skill], topics: Sequence[str], excluded: AbstractSet[Cell]
) -> Iterator[tuple[list[str], str]]:
    """Different cells (ids of skills, id of topic) that are not in `excluded`, until they cannot be even.

    Each topic, and each skill, is equally often in them within one. For k = 2 so is each pair of categories, and
    then each skill within its category.
    """
    used = set(excluded)
    sets = _pairs(stream, skills) if k == 2 else _sets(stream, k, skills)
    for block in count():
        order = ranked(f"{stream}|topics|{block}", topics)
        chosen = [next(sets) for _ in order]
        found = _topics_for(chosen, order, used)
        if found is None:
            return
        for number, (names, topic) in enumerate(zip(chosen, found, strict=True)):
            used.add((frozenset(names), topic))
            yield ranked(f"{stream}|{block}|{number}", names), topic


class _Dealer:
    """Deals names in rounds, each of which has all of them once."""

    def __init__(self, stream: str, names: Sequence[str]) -> None:
        self._stream = stream
        self._names = names
        self._rounds = count()
        self._left: list[str] = []

    def deal(self, number: int) -> list[str]:
        """The next `number` names, all different; `number` is at most the number of names."""
        dealt: list[str] = []
        while len(dealt) < number:
            if not self._left:
                self._left = ranked(f"{self._stream}|{next(self._rounds)}", self._names)
            # A hand that began in the round before may hold what stands first in this one.
            name = next(name for name in self._left if name not in dealt)
            self._left.remove(name)
            dealt.append(name)
        return dealt


def _sets(stream: str, k: int, skills: Sequence[Skill]) -> Iterator[list[str]]:
    dealer = _Dealer(f"{stream}|skills", [skill.id for skill in skills])
    while True:
        yield dealer.deal(k)


def _pairs(stream: str, skills: Sequence[Skill]) -> Iterator[list[str]]:
    members: dict[str, list[str]] = {}
    for skill in skills:
        members.setdefault(skill.category, []).append(skill.id)
    dealers = {name: _Dealer(f"{stream}|skills|{name}", ids) for name, ids in members.items()}
    pairs = {
        f"{first} + {second}": (first, second)
        for first, second in combinations_with_replacement(sorted(members), 2)
        if first != second or len(members[first]) > 1
    }
    rounds = _Dealer(f"{stream}|pairs", list(pairs))
    while True:
        first, second = pairs[rounds.deal(1)[0]]
        yield dealers[first].deal(2) if first == second else dealers[first].deal(1) + dealers[second].deal(1)


def _topics_for(sets: Sequence[list[str]], topics: Sequence[str], used: AbstractSet[Cell]) -> list[str] | None:
    """Each topic for one of as many `sets`, so that no cell is in `used` or there twice; None if that cannot be.

    Sets look for a topic in turn; one that finds none takes another's, which then looks for one anew.
    """
    holders: dict[str, int] = {}

    def settle(number: int, asked: set[str]) -> bool:
        for topic in topics:
            if topic in asked or (frozenset(sets[number]), topic) in used:
                continue
            asked.add(topic)
            if topic not in holders or settle(holders[topic], asked):
                holders[topic] = number
                return True
        return False

    if not all(settle(number, set()) for number in range(len(sets))):
        return None
    return sorted(holders, key=lambda topic: holders[topic])
