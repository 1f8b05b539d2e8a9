"""How many sentences a text has: two kept splitters on a tidied text, and one rule that combines them.

Neither splitter is right often enough alone, and their errors hardly overlap. Both get the same tidied lines. A
place counts as a sentence's end if either of them cuts there, less the cuts that a short list of patterns explains
(`_NO_END`: a speech tag, a title before a name): their other errors on tidied text are mostly missed ends, so the
splitter that sees an end is believed.

That direction is also the safe one for a limit. A model that trains against this check can learn to hide an end
from a splitter, and gains nothing from an extra end. The price is that an honest text is sometimes counted one too
long. So both splitters' own counts are kept: `SentenceCount.disagrees` shows where the limit depends on them.
"""

import functools
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib.metadata import version
from itertools import pairwise
from typing import Final, cast

import sentencex

from skillmix_tasks.checks.normalise import compatible
from skillmix_tasks.checks.separators import BEGINS, separated

_LINE_MARK: Final = re.compile(
    r"(?:[-*+•‣◦▪·>]\s+|#{1,6}\s+|\(?(?:\d{1,3}|[a-zA-Z])\)\s+|\d{1,3}\.\s+|\(?(?:[ivx]{1,5}|[IVX]{1,5})[.)]\s+)+(?=\S)"
)
# A longer run is words written together, and counts as a word for every five letters, as English has. In scripts
# without spaces two characters count as a word (Chinese, Japanese), or four (Thai, Lao, Khmer, Burmese).
_WORD: Final = re.compile(r"[^\W_]+(?:'[^\W_]+)*")
_LONGEST: Final = 20
_USUAL: Final = 5
_UNSPACED: Final = (
    (re.compile(r"[\u3040-\u30ff\u3400-\u9fff]"), 2),
    (re.compile(r"[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff]"), 4),
)
_NUMBERED: Final = re.compile(r"\(?1[.)]\s")
_INNER_NUMBER: Final = re.compile(r"(?<=[.!?] )\(?\d{1,2}[.)] (?=\S)")
_INNER_BULLET: Final = re.compile(r"(?<=[.!?] )[•‣◦▪·] (?=\S)")
# A stop between a small letter and a capital that begins a word: "left.She", "left."She". "Ph.D." and "U.S."
# are left alone, as no small letter follows the capital there, and so is "Node.js".
_WORD_START: Final = r"(?:[A-Z][a-z]|I\b)"
_GLUED: Final = re.compile(rf"(?<=[a-z][.!?])(?=[\"'(]?{_WORD_START})|(?<=[.!?][\"')])(?={_WORD_START})")
# Addresses, whose stops end nothing, and the numbers of footnotes behind a stop.
_ADDRESS: Final = re.compile(
    r"\b(?:www\.|https?://|[\w.]{1,64}@)[\w./@?=&%#~+-]*\w|\b[a-z][\w-]*(?:\.[\w-]+){0,3}\.(?:com|org|net|edu|gov|io)\b(?!\.\w)(?:/[\w./?=&%#~+-]*\w)?",
    re.IGNORECASE,
)
_FOOTNOTE: Final = re.compile(r"(?<=[a-z][.!?])(?:\d{1,2}|\[\d{1,3}\])(?=\s+[A-Z\"']|\s*$)")
_LEADING_DOTS: Final = re.compile(r"^(?:\.\s?){2,}")
_SPACED_DOTS: Final = re.compile(r"\.(?: \.){2,}")
_OPEN_END: Final = re.compile(r"[,;:\u2012-\u2015-]$")
# Words that end no sentence: a line that ends with one is a wrapped line, also before a name.
_NO_LAST: Final = re.compile(
    r"\b(?:a|an|the|and|or|but|as|at|by|for|from|into|of|than|to|with|her|his|my|our|their|your|its|whose)$",
    re.IGNORECASE,
)
_INNER_STOP: Final = re.compile(r"[.!?](?![.!?\"')\]]*$)")
_STOP_END: Final = re.compile(r"[.!?][\"')\]]*$")

_SPEECH_VERBS: Final = (
    "added admitted agreed announced answered argued asked bellowed boasted called chided complained confessed"
    " cried croaked declared demanded drawled echoed exclaimed gasped groaned growled grumbled hissed howled"
    " inquired insisted interrupted joked moaned mumbled murmured mused muttered objected observed pleaded"
    " protested quipped remarked repeated replied retorted roared said says scoffed screamed shouted shrieked"
    " sighed snapped snarled sneered sobbed squealed stammered teased thundered urged wailed warned whimpered"
    " whined whispered wondered yelled yelped"
)
_TITLES: Final = (
    "Adm Ald Amb Atty Br Brig Bro Capt Cdr Cmdr Col Cpl Cpt Det Dr Drs Ens Fr Ft Gen Gov Hon Insp Lt Maj"
    " Messrs Mlle Mme Mr Mrs Ms Msgr Mt Pres Prof Pvt Rep Rev Sen Sgt Sr Sra Srta Supt Ven"
)
_SHORT_FORMS: Final = "approx ca ch dept em eq est ext rs tel vol"
_DAYS: Final = "Fri Mon Thu Thurs Tue Tues Wed"
_UNITS: Final = "ft in kg km lb lbs min oz sec tbsp tsp"


def _any(words: str) -> str:
    return f"(?:{'|'.join(words.split())})"


_LAST_TITLE: Final = re.compile(rf"(?:^|\s){_any(_TITLES)}\.$")
_BEGINS_SENTENCE: Final = re.compile(rf"[\"'(\[]*{BEGINS}")
# Stops that surely end no sentence although a splitter may cut there: no cut inside or at the end of a match
# counts.
_NO_END: Final = (
    # A quotation's mark, when who said it follows: "Run!" Anna Reed shouted. ("Run!" The rope snapped.)
    re.compile(
        rf"[!?][\"'](?=\s+(?!(?:The|An?|His|Her|My|Our|Their)\s)(?:[\w.'-]+\s+){{1,3}}?{_any(_SPEECH_VERBS)}\b)"
    ),
    # A title or the like before a name, which sentencex ("Ft. Lowell") and nupunkt ("Lt. Col.") know in part.
    re.compile(rf"\b{_any(_TITLES)}\.(?=\s+[A-Z])"),
    # A short form before a number or a small letter, a unit after a number. sentencex lacks these; nupunkt knows
    # them, but it also takes "bee", "fish" and "hand" for short forms, so its word alone cannot keep a sentence
    # together.
    re.compile(rf"\b(?:(?i:{_any(_SHORT_FORMS)})|{_any(_DAYS)}|(?<=\d\s)(?i:{_any(_UNITS)}))\.(?=\s+[\da-z])"),
    # The rest never begins a sentence: a comma, Yahoo! Inc., 6 a.m. Tuesday.
    re.compile(r"[.!?][\"')\]]*[,;]"),
    re.compile(r"\b[A-Z][\w&-]*[!?](?=\s+(?:Inc|Ltd|Corp|Co)\b)"),
    re.compile(r"\b(?:Co|Corp|Inc|Ltd|[A-Z])\.(?=\s+(?:Inc|Ltd|Corp|Co|Jr|Sr)\b)"),
    re.compile(r"\b[ap]\.m\.(?=\s+(?:Mon|Tues|Wednes|Thurs|Fri|Satur|Sun)day\b)"),
)
# Stops that surely end a sentence, whatever short form a splitter sees before them: a word that is not a name
# follows ("Main St. The baker"), or the short form has no name before it ("it fell Inc. Rain").
_END: Final = (
    re.compile(rf"\.[\"')\]]*[,;:]?(?=\s+[\"'(\[]*{BEGINS})"),
    re.compile(r"(?:(?<![\w'-])[a-z][\w'-]*\s+(?:Inc|Ltd|Corp|Co|Jr|Sr|Esq)|\betc)\.(?=\s+[\"'(\[]*[A-Z])"),
)


# The most words that a text may have for each sentence allowed: 1.6 times those of the reference's longest
# answer (docs/checks.md).
WORDS: Final = 75


@dataclass(frozen=True)
class SentenceCount:
    """The deciding count, and the count of each splitter on the same tidied text."""

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
    counts = [0, 0, 0]
    for line in _tidy_lines(compatible(text)):
        if not _INNER_STOP.search(line):
            counts = [count + _pieces(line, ()) for count in counts]
            continue
        cuts_x, cuts_n = _cuts(line, sentencex.segment("en", line)), _cuts(line, _nupunkt()(line))
        ends = {match.end() for pattern in _END for match in pattern.finditer(line)}
        cuts = ((cuts_x | cuts_n) - _no_ends(line)) | ends
        counts = [count + _pieces(line, own) for count, own in zip(counts, (cuts, cuts_x, cuts_n), strict=True)]
    return SentenceCount(*counts)


def count_words(text: str) -> int:
    """How many words `text` has: runs of letters and digits, or characters in scripts that write no spaces."""
    plain, unspaced = compatible(text), 0
    if not plain.isascii():
        for pattern, characters in _UNSPACED:
            plain, found = pattern.subn(" ", plain)
            unspaced += -(-found // characters)
    runs = map(len, _WORD.findall(plain))
    return unspaced + sum(1 if length <= _LONGEST else -(-length // _USUAL) for length in runs)


def splitter_versions() -> dict[str, str]:
    """The installed versions of the two splitters, on which the count depends."""
    return {name: version(name) for name in ("sentencex", "nupunkt")}


def _tidy_lines(plain: str) -> list[str]:
    """The text as lines that each begin a sentence, without markup, list marks and other traps for splitters."""
    lines: list[str] = []
    for raw in separated(plain).split("\n"):
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
    line = _SPACED_DOTS.sub("...", line)
    line = _LEADING_DOTS.sub("", line)
    line = _FOOTNOTE.sub("", line)
    line = _ADDRESS.sub(lambda match: match.group().lower().replace(".", "-"), line)
    return _GLUED.sub(" ", line).strip()


def _continues(before: str, line: str) -> bool:
    """Whether a line continues the sentence before: after an open end, or with a small letter and no stop."""
    end = before[-9:]
    if _OPEN_END.search(end) or (line[0].islower() and not _STOP_END.search(end)):
        return True
    return bool((_NO_LAST.search(end) or _LAST_TITLE.search(end)) and not _BEGINS_SENTENCE.match(line))


def _no_ends(line: str) -> set[int]:
    found = (match.span() for pattern in _NO_END for match in pattern.finditer(line))
    return {place for start, end in found for place in range(start + 1, end + 1)}


def _pieces(line: str, cuts: Iterable[int]) -> int:
    """How many pieces with a letter or a digit the cuts leave; quotation marks or emoji alone do not count."""
    edges = [0, *sorted(cuts), len(line)]
    return sum(any(char.isalnum() for char in line[start:end]) for start, end in pairwise(edges))


def _cuts(line: str, sentences: Iterable[str]) -> set[int]:
    """The ends of the sentences in `line`; searched for, as releases treat spaces differently."""
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
