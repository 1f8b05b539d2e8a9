import re
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import nupunkt
import pytest
import sentencex
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from skillmix_tasks.checks import SentenceCount, count_sentences, extract_answer, is_empty, sentence_counts
from tests.skillmix_tasks.checks.reference import rows, tell

CASES: dict[str, list[dict[str, Any]]] = yaml.safe_load(
    Path(__file__).with_name("sentence_cases.yaml").read_text(encoding="utf-8")
)


def naive(text: str) -> int:
    """A stop, then a space and a capital, or the end: what a splitter written in a minute does."""
    return len(re.split(r"(?<=[.!?])[\"')]* +(?=[\"'(]?[A-Z])", text.strip())) if text.strip() else 0


CANDIDATES: dict[str, Callable[[str], int]] = {
    "this check": count_sentences,
    "sentencex, tidied text": lambda text: sentence_counts(text).sentencex,
    "nupunkt, tidied text": lambda text: sentence_counts(text).nupunkt,
    "sentencex": lambda text: len([part for part in sentencex.segment("en", text) if part.strip()]),
    "nupunkt": lambda text: len(nupunkt.sent_tokenize(text)),
    "naive": naive,
}


def hits(count: Callable[[str], int], part: str) -> int:
    return sum(count(case["text"]) == case["count"] for case in CASES[part])


def share(count: Callable[[str], int], *parts: str) -> float:
    return sum(hits(count, part) for part in parts) / sum(len(CASES[part]) for part in parts)


def test_hard_cases() -> None:
    total = sum(map(len, CASES.values()))
    for name, count in CANDIDATES.items():
        scores = ", ".join(f"{part} {hits(count, part)} of {len(CASES[part])}" for part in CASES)
        tell(f"{name}: {scores}, all {share(count, *CASES):.1%} of {total}")
    assert total >= 70
    for part in CASES:
        assert share(count_sentences, part) >= 0.95


@pytest.mark.parametrize("name", [name for name in CANDIDATES if name != "this check"])
def test_the_combination_earns_its_place(name: str) -> None:
    assert share(count_sentences, *CASES) >= share(CANDIDATES[name], *CASES) + 0.03


@pytest.mark.parametrize(
    ("text", "count"),
    [
        ("", 0),
        (" \n\t\u200b", 0),
        ("...", 0),
        ("🐝🐝", 0),
        ("no stop at all", 1),
        ("The hive fell.\nIt broke.\nBees flew.\nWe ran.", 4),
        ("the hive fell. it broke. 3 bees flew. we ran.", 4),
        ("The U.S. Army keeps bees.", 1),
        ("It fell; it broke; we ran.", 1),
    ],
)
def test_what_must_never_fail(text: str, count: int) -> None:
    assert count_sentences(text) == count


@pytest.mark.parametrize(
    ("counts", "limit", "expected"),
    [
        ((2, 2, 2), 2, False),
        ((3, 2, 3), 2, True),
        ((3, 2, 3), 1, False),
        ((3, 2, 3), 3, False),
        ((1, 2, 2), 1, True),
    ],
)
def test_disagreement(counts: tuple[int, int, int], limit: int, expected: bool) -> None:
    assert SentenceCount(*counts).disagrees(limit) is expected


def test_disagreement_is_seen_in_a_text() -> None:
    counts = sentence_counts('"The bees left. The honey stayed."')
    assert counts == SentenceCount(2, 1, 2)
    assert counts.disagrees(1)
    assert not counts.disagrees(2)


PIECES = st.sampled_from(
    (
        *(
            "The dog ran.",
            "i went",
            "Mr.",
            "U.S.",
            "St.",
            "Inc.",
            "lb.",
            "Lt.",
            "Wed.",
            "etc.",
            "e.g.",
            "p.m.",
            "3",
        ),
        *(
            '"',
            "'",
            "“",
            "”",
            "(",
            ")",
            "[",
            "]",
            "- ",
            "*",
            "**",
            "_",
            "`",
            "...",
            "…",
            "?",
            "!",
            ".",
            ",",
            ":",
            ";",
        ),
        *("A", "b", "—", "Why?", "said", "Tom", "Ann asked", "The", "🐝", "\n"),
    )
)
TEXTS = st.lists(PIECES, max_size=14).map(" ".join)


@settings(deadline=None, max_examples=400)
@given(TEXTS)
def test_a_further_sentence_never_lowers_the_count(text: str) -> None:
    """Over words and marks with spaces between them; for marks run together (":.)Lt.") nupunkt breaks the rule."""
    assert count_sentences(text + " The kettle was already cold.") >= count_sentences(text)


@settings(deadline=None, max_examples=300)
@given(TEXTS | st.text(), st.text(alphabet=" \n\r\t\u00a0\u2003\u200b", max_size=4))
def test_space_at_the_end_changes_nothing(text: str, space: str) -> None:
    assert count_sentences(text + space) == count_sentences(text)


@settings(deadline=None, max_examples=500)
@given(st.text(alphabet=st.characters()))
def test_any_text_is_counted(text: str) -> None:
    counts = sentence_counts(text)
    assert min(counts.count, counts.sentencex, counts.nupunkt) >= 0
    if not is_empty(text):
        assert counts.count >= 1


@given(st.text(alphabet="ab .!?\"'\ud800\udfff", max_size=20))
@settings(deadline=None)
def test_lone_surrogates_are_taken(text: str) -> None:
    assert count_sentences(text) >= 0


def test_real_answers_are_counted_quickly_and_alike() -> None:
    count_sentences("Warm-up.")
    times, apart = [], 0
    texts = [extract_answer(row[reply]).text for row in rows() for reply in ("assistant_0", "assistant_1")]
    for text in texts:
        start = time.process_time()
        counts = sentence_counts(text)
        times.append(time.process_time() - start)
        apart += len({counts.count, counts.sentencex, counts.nupunkt}) > 1
        assert 1 <= counts.count <= 6
    tell(f"median {statistics.median(times) * 1000:.2f} ms, worst {max(times) * 1000:.2f} ms, {apart} differ")
    assert statistics.median(times) < 0.01
    assert apart <= len(texts) / 20


def test_a_long_text_takes_linear_time() -> None:
    for text in ("*" * 40_000 + " x", "_" * 40_000 + "a", "! \"' " * 8_000, "1. " * 15_000, "Mr. " * 10_000):
        start = time.process_time()
        count_sentences(text)
        assert time.process_time() - start < 5
