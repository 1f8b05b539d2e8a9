"""Whether a text names a skill outright, which the benchmark's hard variant punishes.

Naming is the skill's name or an alias as a sequence of words, in any disguise. Case, look-alike letters (also
"lrony" and "rnetaphor"), invisible characters, HTML, marks on letters, emphasis inside a word, words run together
("redherring", "aRedHerring") and letters spelled out one by one ("r e d herring") make no difference. Plurals and
possessives are the same word.

Derived words do not count. "Metaphorical" does not name "metaphor" and "ironic" does not name
"irony": an adjective describes what a text does in ordinary English, and the rule is about writing the label
down. Nor does a part of a longer word, nor two words with a sentence's end between them ("The boat was red.
Herring filled it."), nor digits that stand for letters ("m3taphor"), which no reader takes for a natural word
anyway.

A name with brackets is checked without the brackets: "accident (fallacy)" is "accident fallacy". The bare
head ("accident") is an everyday word, so it counts only where the skill's aliases list it.
"""

import functools
import re
from collections.abc import Sequence
from typing import Final, Protocol

from skillmix_tasks.checks.normalise import fold

_WORD: Final = re.compile(r"[^\W_]+")
_NOT_INSIDE: Final = (r"(?<![^\W_])", r"(?![^\W_])")
# Between words: anything but a letter, a digit or a sentence's end, or nothing.
_GAP: Final = r"(?:(?![.!?][\"')\]]*\s)[\W_])*"
# Between the letters of one word: marks, but no space ("meta-phor", "**meta**phor"). With spaces allowed, "a
# side dish" would name "aside"; a word spelled out must have them between all its letters.
_MARKS: Final = r"(?:[^\w\s]|_|-\n)*"
_SPELLED: Final = r"[\W_]+"
_CAMEL: Final = re.compile(r"(?<=[a-z])(?=[A-Z][a-z])")
# Letters that look like others of the same alphabet; a capital I looks like a small l, and is an i when folded.
_LIKE: Final = {"i": "[il]", "l": "[il]", "m": "(?:m|rn)", "w": "(?:w|vv)"}
# Endings, and what a plural has in their place.
_ENDINGS: Final = (
    (r"(?<=s|x|z)|(?<=[cs]h)", r"es(?:'s)?"),
    (r"(?<=[^aeiou])y", "ies"),
    ("is", "es"),
    ("man", "men"),
    (r"(?<=ma)", "ta"),
    (r"(?<=eau)", "x"),
    (r"(?<=[mrht])on|um", "a"),
    ("[ei]x", "ices"),
    ("us", "i"),
)
# The words around a name in its ordinary use, which does not count: before it, and after it.
_ORDINARY: Final = {
    "irony": ("", r"(?:,?\s+metallic)?\s+(?:tastes?|smells?|tang|flavou?rs?|odou?rs?|scents?|water|soil|blood)\b"),
    "post hoc": (
        "",
        r"\s+(?:(?:statistical|pairwise|power)\s+)?(?:tests?|testing|anal[yi]s[ie]s|comparisons?|corrections?|contrasts?)\b",
    ),
    "apostrophe": (
        r"(?:\b(?:missing|misplaced|stray|lacks?|lacked|typed?|types|omits?|omitted|grocer'?s'?|possessive|forgotten)\s+(?:(?:an?|the)\s+)?)",
        r"s?(?:,?\s+(?:and|or)\s+(?:an?\s+|the\s+)?(?:comma|hyphen|colon|semicolon|quotation|dash)|\s+(?:before|after)\s+the\s+s\b"
        r"|\s+(?:key|mark)\b)",
    ),
}


class Named(Protocol):
    """Any skill: its name and its aliases."""

    @property
    def name(self) -> str:
        """The name, as the prompt gives it."""

    @property
    def aliases(self) -> Sequence[str]:
        """Other names that count as naming it."""


def names_skill(text: str, skill: Named) -> bool:
    """Whether `text` contains the name or an alias of `skill`."""
    return find_named(text, skill) is not None


def find_named(text: str, skill: Named) -> str | None:
    """The first form of the name or of an alias found, as it is in the folded text, or None."""
    forms = [fold(text)]
    if (apart := _CAMEL.sub(" ", text)) != text:
        forms.append(fold(apart))
    for name in (skill.name, *skill.aliases):
        pattern = _pattern(name)
        found = next((match for form in forms for match in pattern.finditer(form) if _names(match)), None)
        if found:
            return " ".join(found.group().split())
    return None


@functools.lru_cache(maxsize=1024)
def _pattern(name: str) -> re.Pattern[str]:
    parts = _WORD.findall(fold(name).replace("'", ""))
    if not parts:
        return re.compile(r"(?!)")  # an alias without a letter matches nowhere
    first = _first_pattern if len(parts) > 1 else _word_pattern
    return re.compile(_GAP.join([first(parts[0]), *map(_word_pattern, parts[1:])]).join(_NOT_INSIDE))


def _names(match: re.Match[str]) -> bool:
    """Whether a match names the skill and is not an ordinary use of the words ("an irony taste")."""
    usual = _ORDINARY.get(" ".join(_WORD.findall(match.group())).removesuffix("s"))
    if usual is None:
        return True
    before, after = usual
    start = max(0, match.start() - 40)
    return not (
        (before and re.search(f"{before}$", match.string[start : match.start()]))
        or re.match(after, match.string[match.end() : match.end() + 60])
    )


def _first_pattern(word: str) -> str:
    """A name's first word as the verb that it may be: "begging the question" is also "begs the question".

    So is "appeal to authority", which is found in "appealed to authority".
    """
    if not re.fullmatch(r"\w{3,}ing", word):
        return f"(?:{_word_pattern(word)}|{_letters(word, '(?:ed|ing)')})"
    stem = word[:-3]
    short = stem[:-1] if stem[-1] == stem[-2] else stem
    past = f"{short[:-1]}ie" if short.endswith("y") else short
    forms = [(word, "s?"), (stem, "ed"), (short, "e?[sd]?"), (past, "[sd]")]
    return f"(?:{'|'.join(_letters(form, ending) for form, ending in forms)})"


def _word_pattern(word: str) -> str:
    """The word, its plural and its possessive; each in one piece, broken by marks, or spelled out.

    By English rules only, as every name is English.
    """
    forms = [_letters(word, r"(?:'?s)?")]
    for ending, others in _ENDINGS:
        if found := re.search(f"{ending}$", word):
            forms.append(_letters(word[: found.start()], others))
    return f"(?:{'|'.join(forms)})"


def _letters(stem: str, ending: str) -> str:
    letters = [_LIKE.get(letter, letter) for letter in stem]
    return f"(?:{_MARKS.join(letters)}|{_SPELLED.join(letters)}){ending}"
