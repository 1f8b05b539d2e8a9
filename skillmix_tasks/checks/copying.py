"""Whether a text is somebody else's: a skill's own example or definition, or the prompt said back.

The prompt shows every skill's definition and example. A text that repeats one of them illustrates nothing,
so it loses that skill's point. Words are compared folded: case, punctuation and look-alike letters make no
difference.
"""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from skillmix_tasks.checks.normalise import compatible, is_empty, words

# Eight words in a row: stock phrases are shorter ("at the end of the day" has six), and two writers who do
# not know of each other almost never agree on eight.
RUN: Final = 8
# A reference shorter than that counts when all of it is there, down to five words; below that ("time is
# money") it is a common phrase that proves nothing.
SHORTEST: Final = 5
# A reference with a word exchanged here and there: most of its words are still in runs of three. With 60 % of
# them a copy is seen that exchanges every fourth word; of a short reference it must be seven words at least.
GRAM: Final = 3
SHARE: Final = 0.6
LEAST: Final = 7
# An answer repeats the prompt if nearly all of its words are in runs of five or more words of the
# prompt. An honest answer takes single words and the topic from it.
ECHO_RUN: Final = 5
ECHO_SHARE: Final = 0.8

# A template's slot left unfilled: "[your text here]", "<insert answer>", "your answer here".
_SLOT: Final = re.compile(
    r"[\[<({]\s*(?:insert|your|the|write|add|improved|new|minimal|text|answer)\b[^.!?\n]{0,80}[\])>}]"
    r"|(?:insert|your|write)\b[^.!?\n]{0,40}\bhere",
    re.IGNORECASE,
)


@dataclass(frozen=True)
class Overlap:
    """The overlap of a text with the reference at `index`: longest run, share of words in runs of three."""

    index: int
    run: str
    share: float


def copies_reference(text: str, references: Sequence[str]) -> bool:
    """Whether `text` copies one of `references` (a skill's definition and examples)."""
    return find_copied(text, references) is not None


def find_copied(text: str, references: Sequence[str]) -> Overlap | None:
    """The first reference that `text` copies, with what they share, or None."""
    own = "".join(words(text))  # without spaces, so that words written together or apart make no difference
    for index, reference in enumerate(references):
        other = words(reference)
        if len(other) < SHORTEST:
            continue
        run = _longest_run(own, other)
        covered = _covered(own, other)
        if len(run) >= min(RUN, len(other)) or covered >= max(LEAST, SHARE * len(other)):
            return Overlap(index, " ".join(run), covered / len(other))
    return None


def echoes_prompt(text: str, prompt: str) -> bool:
    """Whether `text` is the prompt repeated, or a slot of a template left unfilled ("...", "[your text here]").

    `prompt` is the text of all the user's turns. A student's own earlier answer is not part of it: an answer kept
    unchanged in the second turn is not an echo.
    """
    if is_empty(text) or _SLOT.fullmatch(compatible(text).strip(" \n\t\"'*_.")):
        return True
    own, other = words(text), words(prompt)
    size = min(ECHO_RUN, len(own))
    theirs = set(_grams(other, size))
    echoed: set[int] = set()
    for start, gram in enumerate(_grams(own, size)):
        if gram in theirs:
            echoed.update(range(start, start + size))
    return len(echoed) >= ECHO_SHARE * len(own)


def _grams(tokens: Sequence[str], size: int) -> Iterator[tuple[str, ...]]:
    return (tuple(tokens[start : start + size]) for start in range(len(tokens) - size + 1))


def _covered(own: str, other: Sequence[str]) -> int:
    """The number of words of `other` in a run of three that `own` has."""
    covered: set[int] = set()
    for start, gram in enumerate(_grams(other, GRAM)):
        if "".join(gram) in own:
            covered.update(range(start, start + GRAM))
    return len(covered)


def _longest_run(own: str, other: Sequence[str]) -> list[str]:
    """The longest sequence of words of `other` that `own` has; the first of equals."""
    best_start = best_end = end = 0
    for start in range(len(other)):
        end = max(start, end)
        while end < len(other) and "".join(other[start : end + 1]) in own:
            end += 1
        if end - start > best_end - best_start:
            best_start, best_end = start, end
    return list(other[best_start:best_end])
