"""Duplicates among accepted texts, found one at a time in the order in which they were accepted.

Texts are compared by their words, folded: case, punctuation and look-alike letters make no difference. The same
words are an exact duplicate. A near duplicate shares at least 60 % of the runs of three words that either text has
(Jaccard similarity of word shingles). Accepted texts are short, which sets both numbers: one word
exchanged in the middle breaks three runs, which leaves 71 % of a text of 20 words and 60 % of one of 14.

datasketch's MinHash LSH finds the candidates (it misses one in 85 at 60 %, one in 6,500 at 70 %), and their real
similarity decides. So the result depends only on the order of the texts.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

from datasketch import MinHash, MinHashLSH

from skillmix_tasks.checks.normalise import words

SHINGLE: Final = 3
THRESHOLD: Final = 0.6
_BANDS: Final = (32, 4)  # 32 chances that four of the hash values agree
_HASHES: Final = _BANDS[0] * _BANDS[1]


@dataclass(frozen=True)
class Duplicate:
    """A repetition: the id of the earlier text, and the share of runs of words that they have in common."""

    kind: Literal["exact", "near"]
    other: str
    similarity: float


class Duplicates:
    """The texts accepted so far; some 13 kB of memory for each."""

    def __init__(self) -> None:
        self._texts: list[tuple[str, tuple[str, ...]]] = []
        self._exact: dict[tuple[str, ...], str] = {}
        self._names: set[str] = set()
        self._index = MinHashLSH(num_perm=_HASHES, params=_BANDS)
        # Copied for each text: drawing the permutations again costs more than hashing a text.
        self._empty = MinHash(num_perm=_HASHES)

    def find(self, text: str) -> Duplicate | None:
        """The text that `text` repeats, the most similar one and of these the first added; None if it is new."""
        own = tuple(words(text))
        if own in self._exact:
            return Duplicate("exact", self._exact[own], 1.0)
        shingles = _shingles(own)
        best: Duplicate | None = None
        for number in sorted(self._index.query(self._sketch(shingles))):
            name, theirs = self._texts[number]
            other = _shingles(theirs)
            similarity = len(shingles & other) / len(shingles | other)
            if similarity >= THRESHOLD and (best is None or similarity > best.similarity):
                best = Duplicate("near", name, similarity)
        return best

    def add(self, name: str, text: str) -> None:
        """Remember an accepted text under an id of its own."""
        if name in self._names:
            raise ValueError(f"the id {name} is taken")
        own = tuple(words(text))
        self._index.insert(len(self._texts), self._sketch(_shingles(own)))
        self._texts.append((name, own))
        self._exact.setdefault(own, name)
        self._names.add(name)

    def _sketch(self, shingles: frozenset[tuple[str, ...]]) -> MinHash:
        sketch = self._empty.copy()
        sketch.update_batch([" ".join(shingle).encode() for shingle in shingles])
        return sketch


def _shingles(tokens: tuple[str, ...]) -> frozenset[tuple[str, ...]]:
    """The runs of three words; of a shorter text all of it."""
    if len(tokens) < SHINGLE:
        return frozenset({tokens})
    return frozenset(tokens[start : start + SHINGLE] for start in range(len(tokens) - SHINGLE + 1))
