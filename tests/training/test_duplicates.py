from __future__ import annotations

import hashlib
from itertools import count

import pytest

from training.texts.duplicates import Duplicates
from training.texts.reasons import Reason

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
    for text in texts:
        known.add(text)
    return known


@pytest.mark.parametrize(
    "same",
    [TEXT, TEXT.upper(), f'  "{TEXT}" ', TEXT.replace(" ", "\n"), TEXT.replace("o", "о"), TEXT.replace(",", " -")],
)
def test_the_same_words_are_an_exact_duplicate(same):
    assert added("Something else.", TEXT).find(same) is Reason.EXACT_DUPLICATE


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
    assert added("Something else.", TEXT).find(near) is Reason.NEAR_DUPLICATE


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


def test_short_texts():
    known = added("Salt.", "Sea salt.")
    assert {known.find("salt!"), known.find("sea: salt")} == {Reason.EXACT_DUPLICATE}
    assert known.find("salt sea") is None


def test_planted_near_duplicates_are_all_found_among_many_and_nothing_else():
    """2,000 texts of 25 words; each tenth comes back with one word exchanged (at least 64 % in common)."""
    known = Duplicates()
    for number in range(2000):
        text = " ".join(pseudo_words(f"base|{number}", 25))
        assert known.find(text) is None
        known.add(text)
    fresh = count()
    for number in range(0, 2000, 10):
        own = pseudo_words(f"base|{number}", 25)
        own[12] = f"new{next(fresh)}"
        assert known.find(" ".join(own)) is Reason.NEAR_DUPLICATE
