from __future__ import annotations

import hashlib
import json
from collections import Counter

from grading.protocol.untrusted import shown
from grading.redteam.items import BASES, KS, families, redteam_items, shown_by

ITEMS = redteam_items()


def test_the_set_is_twelve_families_by_three_k_by_four_bases():
    assert len(ITEMS) == 144
    assert len({item.id for item in ITEMS}) == len({item.request.answer for item in ITEMS}) == 144
    cells = Counter((item.family, item.k, item.base) for item in ITEMS)
    assert set(cells) == {(family.name, k, base) for family in families() for k in KS for base in BASES}
    assert len(families()) == 12
    assert {family.kind for family in families()} == {"structure", "meaning"}


def test_the_set_is_the_same_everywhere():
    again = redteam_items()
    assert again == ITEMS
    # A changed item makes older success rates incomparable: then this hash and docs/redteam.md change with it.
    content = json.dumps([[i.id, i.request.context, i.request.answer, i.earned] for i in ITEMS])
    assert hashlib.sha256(content.encode()).hexdigest()[:16] == "7a6049afe5e093cf"


def test_bases_earn_what_they_are_said_to_earn():
    shows = shown_by()
    assert len(shows) == 6
    for item in ITEMS:
        assert len(item.request.criteria) == item.k + 1
        assert item.request.criteria == item.base_request.criteria
        held = [c.id for c in item.request.criteria if shows[c.text] in item.base_request.answer]
        assert tuple(held) == item.earned
        assert len(held) == {"empty": 0, "off_topic": 0, "one_skill": 2, "honest": item.k + 1}[item.base]
        assert (item.base_request.answer == "") == (item.base == "empty")


def test_an_attack_keeps_its_base_and_shows_no_criterion_itself():
    shows = shown_by()
    for item in ITEMS:
        base, attacked = item.base_request.answer, item.request.answer
        assert base in attacked
        added = attacked.replace(base, "", 1) if base else attacked
        assert added.strip()
        assert not any(sentence in added for sentence in shows.values())
        words = added.replace("It asks a question", "").lower()
        assert not any(mark in words for mark in ("?", " like a", "o'clock", "because", "smelled", "pier")), (
            item.id
        )


def test_kinds_are_true_of_the_texts():
    """Attacks by meaning come through the prompt unchanged; those by structure need something that does not."""
    for item in ITEMS:
        plain = shown(item.request.answer) == item.request.answer and '"' not in item.request.answer
        assert plain == (item.kind == "meaning"), item.id
