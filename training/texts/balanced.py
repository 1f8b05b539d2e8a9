"""Cells drawn so that any first part of them is even.

Skills, topics and, for k = 2, pairs of categories are dealt in rounds: each round deals every one of them once,
in an order of its own. So at any place of the stream their counts differ by at most 1.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from collections.abc import Set as AbstractSet
from itertools import combinations_with_replacement, count

from skillmix_tasks.cells import Cell
from skillmix_tasks.items.draw import ranked
from skillmix_tasks.items.pack import Skill

Compatible = Callable[[Iterable[str]], Iterator[str]]


def balanced_cells(
    stream: str,
    *,
    k: int,
    skills: Sequence[Skill],
    topics: Sequence[str],
    excluded: AbstractSet[Cell],
    compatible: Compatible,
) -> Iterator[tuple[list[str], str]]:
    """Different cells (ids of skills, id of topic) that are not in `excluded`, until they cannot stay even.

    The counts of any two topics, and of any two skills, differ by at most 1. For k = 2 so do those of pairs of
    categories, and then those of the skills of a category. `compatible` leaves out of a list the skills that an
    earlier one excludes; a skill that waits for that reason may be behind by two.
    """
    used = set(excluded)
    sets = _pairs(stream, skills, compatible) if k == 2 else _sets(stream, k, skills, compatible)
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

    def deal(self, number: int, held: Sequence[str] = (), compatible: Compatible = iter) -> list[str]:
        """The next `number` names, all different and `compatible` with each other and with those `held`.

        Fewer if no more of all names fit.
        """
        dealt = list(held)
        while len(dealt) < len(held) + number:
            # A hand that began in the round before may hold the first names of this one.
            fitting = (one for one in self._left if one not in dealt and one in compatible([*dealt, one]))
            name = next(fitting, None)
            if name is not None:
                self._left.remove(name)
                dealt.append(name)
            elif len(self._left) < len(self._names):
                self._left += ranked(f"{self._stream}|{next(self._rounds)}", self._names)
            else:
                break
        return dealt[len(held) :]


def _sets(stream: str, k: int, skills: Sequence[Skill], compatible: Compatible) -> Iterator[list[str]]:
    dealer = _Dealer(f"{stream}|skills", [skill.id for skill in skills])
    while True:
        yield dealer.deal(k, compatible=compatible)


def _pairs(stream: str, skills: Sequence[Skill], compatible: Compatible) -> Iterator[list[str]]:
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
        begun = dealers[first].deal(1)
        pair = begun + dealers[second].deal(1, begun, compatible)
        if len(pair) == 2:  # else nothing in the second category goes with the skill dealt
            yield pair


def _topics_for(sets: Sequence[list[str]], topics: Sequence[str], used: AbstractSet[Cell]) -> list[str] | None:
    """Each topic for one of as many `sets`, so that no cell is in `used` or appears twice; None if that is
    impossible.

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
