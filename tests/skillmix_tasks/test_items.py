from __future__ import annotations

import math
from collections import Counter

import pytest

from grading import UserError
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack

PACK = load_pack("language")


def draw(k: int = 3, number: int = 100, task: str = "skillmix_k3", **options):
    return sample_items(PACK, task=task, k=k, split=options.pop("split", "all"), seed=0, number=number, **options)


def test_fewer_items_are_the_first_of_more():
    assert draw(number=100) == draw(number=300)[:100]


def test_no_two_items_are_equal():
    items = draw(k=2, number=3000, task="skillmix_k2")
    assert len({(frozenset(s.id for s in item.skills), item.topic.id) for item in items}) == 3000


def test_a_task_with_few_combinations_has_them_all():
    items = draw(k=1, number=1000, task="skillmix_public_k1", split="public")
    assert len(items) == 100
    assert {(item.skills[0].id, item.topic.id) for item in items} == {
        (skill.id, topic.id) for skill in PACK.skills_of("public") for topic in PACK.topics_of("public")
    }


@pytest.mark.parametrize("split", ["train", "heldout"])
def test_a_split_keeps_to_its_side(split):
    items = draw(split=split)
    assert {item.topic.split for item in items} == {split}
    categories = {"train": PACK.about.train_categories, "heldout": PACK.about.heldout_categories}[split]
    assert {skill.category for item in items for skill in item.skills} <= set(categories)


@pytest.mark.slow
def test_every_skill_and_topic_has_its_share():
    number, k = 10_000, 4
    items = draw(k=k, number=number, task="skillmix_k4")
    for counts, kinds, share in (
        (Counter(skill.id for item in items for skill in item.skills), PACK.skills, k / len(PACK.skills)),
        (Counter(item.topic.id for item in items), PACK.topics, 1 / len(PACK.topics)),
    ):
        assert set(counts) == {kind.id for kind in kinds}
        deviation = math.sqrt(number * share * (1 - share))
        worst = max(abs(count - number * share) for count in counts.values())
        assert worst < 3 * deviation, worst / deviation


def test_dropping_common_skills_changes_no_other_item():
    kept = [item for item in draw(number=100) if not any(skill.common for skill in item.skills)]
    assert 0 < len(kept) < 100
    assert draw(number=100, drop_common=True)[: len(kept)] == kept


@pytest.mark.parametrize(
    ("k", "split", "drop", "sentence"),
    [(11, "public", False, "needs 11 skills"), (10, "public", True, "without the common ones")],
)
def test_a_k_that_is_too_large_is_one_sentence(k, split, drop, sentence):
    with pytest.raises(UserError, match=sentence):
        draw(k=k, split=split, drop_common=drop)


def test_the_sentence_limit():
    assert [draw(k=k, number=1)[0].limit for k in (1, 2, 3, 8)] == [1, 1, 2, 7]
