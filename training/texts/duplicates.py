"""Duplicates among accepted texts, found one at a time in the order in which they were accepted.

Texts are compared by their words, folded: case, punctuation and look-alike letters make no difference. The same
words are an exact duplicate. A near duplicate shares at least 60 % of the runs of three words that either text has
(Jaccard similarity of word shingles). Accepted texts are short, which sets both numbers: one word
exchanged in the middle breaks three runs, which leaves 71 % of a text of 20 words and 60 % of one of 14.

datasketch's MinHash LSH finds the candidates (it misses one in 85 at 60 %, one in 6,500 at 70 %), and their real
similarity decides. So the result depends only on the order of the texts.
"""

from __future__ import annotations

from typing import Final

from datasketch import MinHash, MinHashLSH

from skillmix_tasks.checks.normalise import words
from training.texts.reasons import Reason

SHINGLE: Final = 3
THRESHOLD: Final = 0.6
_BANDS: Final = (32, 4)  # 32 chances that four of the hash values agree
_HASHES: Final = _BANDS[0] * _BANDS[1]


class Duplicates:
    """The texts accepted so far; some 13 kB of memory for each."""

    def __init__(self) -> None:
        self._index = MinHashLSH(num_perm=_HASHES, params=_BANDS)
        # Copied for each text: drawing the permutations again costs more than hashing a text.
        self._empty = MinHash(num_perm=_HASHES)

    def find(self, text: str) -> Reason | None:
        """Whether `text` is an exact or a near duplicate of an accepted one; None if it is new."""
        own = tuple(words(text))
        if own in self._index:
            return Reason.EXACT_DUPLICATE
        shingles = _shingles(own)
        for other in map(_shingles, self._index.query(self._sketch(shingles))):
            if len(shingles & other) / len(shingles | other) >= THRESHOLD:
                return Reason.NEAR_DUPLICATE
        return None

    def add(self, text: str) -> None:
        """Remember an accepted text, which repeats none."""
        own = tuple(words(text))
        self._index.insert(own, self._sketch(_shingles(own)))

    def _sketch(self, shingles: frozenset[tuple[str, ...]]) -> MinHash:
        sketch = self._empty.copy()
        sketch.update_batch([" ".join(shingle).encode() for shingle in shingles])
        return sketch


def _shingles(tokens: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The runs of three words; of a shorter text all of it."""
    if len(tokens) < SHINGLE:
        return frozenset({tokens})
    return frozenset(tokens[start : start + SHINGLE] for start in range(len(tokens) - SHINGLE + 1))
