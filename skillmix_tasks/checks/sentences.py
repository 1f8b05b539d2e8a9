"""How many sentences a text has: two kept splitters on a tidied text, and one rule that combines them.

Neither splitter is ours and neither is right often enough alone; their errors hardly overlap. Both get the
same tidied lines. A place counts as a sentence's end if either of them cuts there, less the cuts that a short
list of patterns explains (`_NO_END`: a speech tag, a title before a name): what is left of their errors on
tidied text is mostly a missed end, so the one that sees an end is the one to believe.

That direction is also the safe one for a limit. Whoever trains against this check can learn to hide an end
from a splitter, and cannot gain from an end too many. The price is an honest text now and then counted one
too long, which is why both splitters' own counts are kept: `SentenceCount.disagrees` tells the caller where
the limit hangs on them.
"""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Final, cast

import sentencex

from skillmix_tasks.checks.normalise import compatible

_MARKUP: Final = re.compile(r"\*{1,3}(?=\S)|(?<=\S)\*{1,3}|~~|`|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_LINE_MARK: Final = re.compile(r"(?:[-*+•‣◦▪·>]\s+|#{1,6}\s+|\(?(?:\d{1,3}|[a-zA-Z])\)\s+|\d{1,3}\.\s+)+(?=\S)")
_NUMBERED: Final = re.compile(r"\(?1[.)]\s")
_INNER_NUMBER: Final = re.compile(r"(?<=[.!?] )\(?\d{1,2}[.)] (?=\S)")
_INNER_BULLET: Final = re.compile(r"(?<=[.!?] )[•‣◦▪·] (?=\S)")
# A stop between a small letter and a capital that begins a word: "left.She", "left."She". "Ph.D." and "U.S."
# are left alone, as no small letter follows the capital there, and so is "Node.js".
_WORD_START: Final = r"(?:[A-Z][a-z]|I\b)"
_GLUED: Final = re.compile(rf"(?<=[a-z][.!?])(?=[\"'(]?{_WORD_START})|(?<=[.!?][\"')])(?={_WORD_START})")
_LEADING_DOTS: Final = re.compile(r"^(?:\.\s?){2,}")
_SPACED_DOTS: Final = re.compile(r"\.(?: \.){2,}")
_OPEN_END: Final = re.compile(r"[,;:\u2012-\u2015-]$")
_STOP_END: Final = re.compile(r"[.!?][\"')\]]*$")

_SPEECH_VERBS: Final = (
    "added admitted agreed announced answered argued asked called cried declared demanded exclaimed gasped"
    " inquired insisted interrupted joked murmured muttered observed pleaded protested quipped remarked repeated"
    " replied retorted said says screamed shouted sighed stammered urged wailed warned whispered wondered yelled"
)
_TITLES: Final = (
    "Adm Capt Cmdr Col Cpl Dr Drs Fr Ft Gen Gov Hon Lt Maj Messrs Mme Mr Mrs Ms Mt Pres Prof Pvt Rep Rev Sen Sgt"
    " Supt"
)
_SHORT_FORMS: Final = (
    "approx ca ch dept eq est ext fri kg km lb lbs min mon oz sec tbsp tel thu thurs tsp tue tues vol wed"
)


def _any(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


# Stops that surely end no sentence although a splitter may cut there: no cut inside or at the end of a match
# counts.
_NO_END: Final = (
    # A quotation's mark, when who said it follows: "Run!" Anna Reed shouted.
    re.compile(rf"[!?][\"'](?=\s+(?:[\w.'-]+\s+){{1,3}}?{_any(_SPEECH_VERBS)}\b)"),
    # A title or the like before a name, which sentencex ("Ft. Lowell") and nupunkt ("Lt. Col.") know in part.
    re.compile(rf"\b{_any(_TITLES)}\.(?=\s+[A-Z])"),
    # A short form before a number or a small letter. sentencex lacks these; nupunkt knows them, but it also
    # takes "bee", "fish" and "hand" for short forms, so its word alone cannot keep a sentence together.
    re.compile(rf"\b(?i:{_any(_SHORT_FORMS)})\.(?=\s+[\da-z])"),
    # What follows never begins a sentence: a comma, Yahoo! Inc., 6 a.m. Tuesday.
    re.compile(r"[.!?][\"')\]]*[,;]"),
    re.compile(r"[.!?](?=\s+(?:Inc|Ltd|Corp|Co|Jr|Sr|etc)\b\.?)"),
    re.compile(r"\b[ap]\.m\.(?=\s+(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b)"),
)


@dataclass(frozen=True)
class SentenceCount:
    """The count that decides, and what each splitter alone counts on the same tidied text."""

    count: int
    sentencex: int
    nupunkt: int

    def disagrees(self, limit: int) -> bool:
        """Whether the three counts do not all fall on the same side of `limit` (at most `limit` is within)."""
        return len({number <= limit for number in (self.count, self.sentencex, self.nupunkt)}) > 1


def count_sentences(text: str) -> int:
    """How many sentences `text` has; 0 where it has no letter and no digit, 1 where it has no stop."""
    return sentence_counts(text).count


def sentence_counts(text: str) -> SentenceCount:
    """`count_sentences` with each splitter's own count beside it."""
    total = by_sentencex = by_nupunkt = 0
    for line in _tidy_lines(text):
        cuts_x, cuts_n = _cuts(line, sentencex.segment("en", line)), _cuts(line, _nupunkt()(line))
        total += _pieces(line, (cuts_x | cuts_n) - _no_ends(line))
        by_sentencex += _pieces(line, cuts_x)
        by_nupunkt += _pieces(line, cuts_n)
    return SentenceCount(total, by_sentencex, by_nupunkt)


def _tidy_lines(text: str) -> list[str]:
    """The text as lines that each begin a sentence, without markup, list marks and what splitters trip over."""
    lines: list[str] = []
    for raw in compatible(text).split("\n"):
        line = re.sub(r"\s+", " ", raw).strip()
        mark = _LINE_MARK.match(line)
        line = _tidy(line, mark.end() if mark else 0)
        if not line:
            continue
        if (lines and not mark and _continues(lines[-1], line)) or (lines and lines[-1].endswith(":")):
            lines[-1] = f"{lines[-1]} {line}"
        else:
            lines.append(line)
    return lines


def _tidy(line: str, mark_end: int) -> str:
    if _NUMBERED.match(line):
        line = line[:mark_end] + _INNER_NUMBER.sub("", line[mark_end:])
    line = _INNER_BULLET.sub("", line[mark_end:])
    line = _MARKUP.sub("", line)
    line = _SPACED_DOTS.sub("...", line)
    line = _LEADING_DOTS.sub("", line)
    return _GLUED.sub(" ", line).strip()


def _continues(before: str, line: str) -> bool:
    """Whether a line goes on with the sentence before: after an open end, or with a small letter and no stop."""
    return bool(_OPEN_END.search(before)) or (line[0].islower() and not _STOP_END.search(before))


def _no_ends(line: str) -> set[int]:
    found = (match.span() for pattern in _NO_END for match in pattern.finditer(line))
    return {place for start, end in found for place in range(start + 1, end + 1)}


def _pieces(line: str, cuts: Iterable[int]) -> int:
    """How many pieces with a letter or a digit the cuts leave; a piece of quotation marks or emoji is none."""
    edges = [0, *sorted(cuts), len(line)]
    return sum(any(char.isalnum() for char in line[start:end]) for start, end in pairwise(edges))


def _cuts(line: str, sentences: Iterable[str]) -> set[int]:
    """Where the sentences end in `line`; found by looking, as releases differ in what they do with spaces."""
    ends: set[int] = set()
    position = 0
    for sentence in map(str.strip, sentences):
        if sentence:
            position = line.index(sentence, position) + len(sentence)
            ends.add(position)
    return ends


@functools.cache
def _nupunkt() -> Callable[[str], Iterable[str]]:
    """Loaded on first use: its model is read from disk, which a run that grades nothing should not wait for."""
    from nupunkt import sent_tokenize

    return cast("Callable[[str], Iterable[str]]", sent_tokenize)
