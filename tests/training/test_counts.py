from __future__ import annotations

from itertools import islice

import pytest

from grading import State, Usage
from skillmix_tasks.items.loading import load_pack
from training.texts.counts import Counts
from training.texts.plan import cells, own_plan
from training.texts.reasons import Reason, is_decided, no_verdict, not_met

PACK = load_pack("language")
REASONS = [*Reason, not_met("s1"), not_met("topic"), no_verdict(State.REFUSED), no_verdict(State.OVER_BUDGET)]


def counted(ks=(1, 2, 3), number=40, seed=0) -> Counts:
    """Of each k: every second try accepted, the others rejected for each reason in turn."""
    counts = Counts()
    plan = own_plan(ks, number)
    for kind in plan.kinds:
        for index, item in enumerate(islice(cells(PACK, kind, plan, seed, frozenset()), number)):
            if index % 2:
                counts.reject(item, REASONS[index // 2 % len(REASONS)])
            else:
                counts.accept(item, "one two three " * (1 + index % 5), 1 + index % 2)
        counts.spend(kind.k, "teacher", Usage(1000, 200, 100), 0.5)
        counts.spend(kind.k, "judge", Usage(3000, 300), None if kind.k == 3 else 0.25)
    counts.check()
    return counts


def test_every_try_is_accounted_for():
    counts = counted()
    for k, kind in counts.kinds.items():
        assert kind.tally.attempted == 40
        assert kind.tally.accepted == 20
        assert sum(kind.rejected.values()) == 20
        assert kind.rejected["over_budget"] >= 2  # of itself, and of the vote that was not asked for
        assert sum(tally.attempted for tally in kind.skills.values()) == 40 * k
    assert sum(tally.accepted for tally in counts.kinds[2].pairs.values()) == 20
    assert not counts.kinds[3].pairs


def test_json_and_back():
    counts = counted()
    assert Counts.model_validate_json(counts.model_dump_json()) == counts


def test_two_halves_make_the_whole():
    one, two = counted((1, 2), seed=1), counted((2, 3), seed=2)
    total = one + two
    total.check()
    assert (one, two) == (counted((1, 2), seed=1), counted((2, 3), seed=2))
    assert total.kinds[1] == one.kinds[1]
    assert total.kinds[3] == two.kinds[3]
    assert total.kinds[2].tally.attempted == 80
    assert total.kinds[2].rejected["copied"] == one.kinds[2].rejected["copied"] + two.kinds[2].rejected["copied"]
    assert total.kinds[2].teacher.model_dump() == {
        "prompt": 2000,
        "completion": 400,
        "cached": 200,
        "dollars": 1.0,
    }
    assert total.kinds[3].judge.dollars is None


@pytest.mark.parametrize("part", ["rejected", "skills", "pairs", "words", "accepted"])
def test_the_check_finds_what_is_missing(part):
    counts = counted()
    kind = counts.kinds[2]
    if part == "accepted":
        kind.tally.accepted -= 1
    elif part in ("skills", "pairs"):
        getattr(kind, part).popitem()
    else:
        counter = getattr(kind, part)
        counter[next(iter(counter))] -= 1
    with pytest.raises(AssertionError):
        counts.check()


def test_reasons():
    assert no_verdict(State.OVER_BUDGET) == Reason.OVER_BUDGET
    assert is_decided(None)
    assert is_decided("not_met:s1")
    assert not any(map(is_decided, ("surplus", "over_budget", "no_verdict:refused")))
