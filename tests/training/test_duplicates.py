from __future__ import annotations

import hashlib
from itertools import count

import pytest

from training.texts.duplicates import THRESHOLD, Duplicates

TEXT = (
    "The old net mender swore that the sea had signed his hands in salt, and that no lawyer on the whole coast "
    "could contest it."
)


def pseudo_words(seed: str, number: int) -> list[str]:
    return [
        f"w{int(hashlib.sha256(f'{seed}|{place}'.encode()).hexdigest(), 16) % 4000}" for place in range(number)
    ]


def added(*texts: str) -> Duplicates:
    known = Duplicates()
    for number, text in enumerate(texts):
        known.add(f"t{number}", text)
    return known


@pytest.mark.parametrize(
    "same",
    [TEXT, TEXT.upper(), f'  "{TEXT}" ', TEXT.replace(" ", "\n"), TEXT.replace("o", "о"), TEXT.replace(",", " -")],
)
def test_the_same_words_are_an_exact_duplicate(same):
    found = added("Something else.", TEXT).find(same)
    assert found
    assert (found.kind, found.other, found.similarity) == ("exact", "t1", 1.0)


@pytest.mark.parametrize(
    "near",
    [
        TEXT.replace("lawyer", "notary"),
        TEXT.replace("The old", "An old"),
        f"{TEXT} Nobody laughed.",
        TEXT.removeprefix("The old "),
    ],
)
def test_a_few_other_words_are_a_near_duplicate(near):
    found = added("Something else.", TEXT).find(near)
    assert found
    assert (found.kind, found.other) == ("near", "t1")
    assert THRESHOLD <= found.similarity < 1


@pytest.mark.parametrize(
    "other",
    [
        "The old net mender laughed; his hands had signed nothing but nets, and salt was what the sea was for.",
        TEXT.replace("swore", "said")
        .replace("salt", "brine")
        .replace("lawyer", "judge")
        .replace("coast", "shore"),
        "",
        "Sea salt.",
    ],
)
def test_another_text_is_none(other):
    assert added("Something else.", TEXT).find(other) is None


def test_the_most_similar_one_is_named_and_of_equals_the_first():
    one, two = TEXT.replace("lawyer", "notary"), TEXT.replace("coast", "shore")
    found = added(one.replace("old", "young"), one, one.replace("swore", "said")).find(TEXT)
    assert found
    assert found.other == "t1"
    found = added(two, one).find(TEXT)
    assert found
    assert found.other == "t0"


def test_short_texts():
    known = added("Salt.", "Sea salt.")
    assert [found and found.other for found in map(known.find, ("salt!", "sea: salt"))] == ["t0", "t1"]
    assert known.find("salt sea") is None


def test_an_id_is_taken_once():
    known = added(TEXT)
    with pytest.raises(ValueError, match="t0 is taken"):
        known.add("t0", "Something else.")


def test_planted_near_duplicates_are_all_found_among_many_and_nothing_else():
    """2,000 texts of 25 words; each tenth comes back with one word exchanged (at least 64 % in common)."""
    known = Duplicates()
    for number in range(2000):
        text = " ".join(pseudo_words(f"base|{number}", 25))
        assert known.find(text) is None
        known.add(str(number), text)
    fresh = count()
    missed = 0
    for number in range(0, 2000, 10):
        own = pseudo_words(f"base|{number}", 25)
        own[12] = f"new{next(fresh)}"
        found = known.find(" ".join(own))
        if found is None:
            missed += 1
        else:
            assert (found.kind, found.other) == ("near", str(number))
    assert missed == 0
