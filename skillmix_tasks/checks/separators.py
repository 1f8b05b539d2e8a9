# ruff: noqa: RUF001  (stops that look like others are what this file is about)
"""Marks other than a plain stop that a reader takes for a sentence's end.

The splitters know stops, so a model that trains against the sentence limit learns to end sentences without one:
with a look-alike, a sign, a tab, an open mark before a capital. `separated` puts a plain stop or a line break
there.

A sign between words proves nothing by itself (`I ❤ Rome`, `Over the roofs,` and a new line). It counts where a
sentence surely begins after it, or where at least three in a text (`_ENOUGH`) look like that.
"""

import re
import unicodedata
from functools import lru_cache
from typing import Final

_ENOUGH: Final = 3

# Words that begin a sentence, or stand in the middle of one in small letters: with a capital, and a small letter
# in the next word, they are not a name ("The kettle", not "The Hague").
_OPENERS: Final = (
    "It He She We They You This That These Those There The A An My Your His Her Its Our Their Nobody Nothing"
    " Everybody Everyone Everything Somebody Someone Something But And So Yet Then Now When While If Because"
    " Although After Before Since As In On At For From With Not Every Each Some Most All Many Few One What Why"
    " Who How Where Is Are Was Were Do Does Did Can"
)
BEGINS: Final = rf"(?=[A-Z])(?:{'|'.join(_OPENERS.split())})(?:'[a-z]+)?\s+[a-z]"
_SUBJECT: Final = r"(?:it|he|she|we|they|you|i|nobody|nothing|everybody|everyone|somebody|someone|there|this)\b"
_GOES_ON: Final = r"(?:And|Or|But|Nor|Yet|So|For|While|When|Where|Who|Which|That|As|In|On|At|Of|To|With|From|By)\b"

# Full stops that are not ends, which the splitters need not see.
_LINK: Final = re.compile(
    r"(?:https?://|www\.)\S*[\w/]|(?<![\w.+-])[\w.+-]+@[\w-]+(?:\.[\w-]+)+"
    r"|(?<![\w./-])[\w-]+(?:[./][\w-]+)*\.(?:(?:com?|ac|gov|org)\.[a-z]{2}|com|org|net|edu|gov|io|js|py|md|txt|pdf|html?|csv|json|jpe?g|png|exe|zip|docx?|mp3)"
    r"\b(?:/[\w/.-]*\w)?"
)
_MARKUP: Final = re.compile(r"\*{1,3}(?=\S)|(?<=\S)\*{1,3}|~~|`|(?<!\w)_{1,3}(?=\S)|(?<=\S)_{1,3}(?!\w)")
_ABBREVIATION: Final = re.compile(
    r"(?:\b(?:[A-Za-z]{1,2}\.)*[A-Za-z]|\b(?:al|approx|Ave|Blvd|Bros|ca|Co|Corp|Dr|Esq|est|etc|Inc|Jr|Ltd|max|min"
    r"|Mr|Mrs|Ms|No|Ph\.D|Rd|Sr|St|vs))$"
)
_STOP_AND_COMMA: Final = re.compile(r"(?<=[^\s.])([.!?]{1,2})([\"')\]]*)[,;:]+(?:\s|(?=[\w\"'(])|$)")
_REWRITES: Final = tuple(
    (re.compile(pattern), into)
    for pattern, into in (
        (
            r"\\+(?:[nrt]|u202[89])(?=[A-Z\s\\]|$)|(?<=[a-z.!?,])\\n(?=[a-z])|\\\\|%0[AaDd]",
            "\n",
        ),  # escapes left as such
        (r"%2[Ee]|%21|%3[Ff]", ". "),
        (r"<([^<>\n]{1,80})>|[\[{]/?[bh]r[\]}]", r"\n\1\n"),  # tags of no known kind
        (r"(?<=\w)[,;:]+(?=[.!?](?:\s|$))", ""),
        (r"(?<=[^\s.])[ ]+(?=[.!?]+(?:[ ]+[^\s.]|\s*$))", ""),  # a stop that stands alone
        (r"(?<=\w)[ ]([.!?])(?=[A-Z][a-z])", r"\1 "),
        (r"(?<=[a-z]{2})([.!?]*[!?][.!?]*)(?=[a-z]{2})", r"\1 "),
        (r"(?<=[A-Z]{2})([.!?])(?=[A-Z]{2})", r"\1 "),
        (
            r"(?<=[a-z]{3})([.!?])(?:\d{1,3}|[\[(]\d{1,3}[\])])(?=\s+[\"'(]?[A-Z]|[A-Z]|\s*$)",
            r"\1 ",
        ),  # a note's number
        (r"(?<=[a-z]{2})([.!?])[^\w\s\"'()\[\]{}.,;:!?]+(?=[\"'(]?[A-Z])", r"\1 "),
        (r"(?<=[a-z]{2})\.(?=(?:she|they|then|nobody|the|but|and|this|that|there|his|her|we|he)\s)", ". "),
    )
)

# A text without these characters is changed by no rule above. Most answers have none, and take a fifth of the
# time.
_UNUSUAL: Final = re.compile(
    r"[^\w\s.,;:!?'\"()\u2010-\u2015-]|_|[.!?][^\s\"')]|[\s,;:][.!?]|[.!?][\"')]+[^\s\"')]"
)

# Between two words: one group for each way to separate them.
_SIGN: Final = r"(?:[^\w\s.,;:!?'\"()\[\]{}\u2010-\u2015$€£-]|_)"
_SHORT: Final = (
    r"(?:[a-z]{1,2}\.)+[a-z]|al|approx|ca|capt|cf|co|corp|dept|dr|est|etc|ft|inc|jr|kg|km|lbs?|ltd|max|min|mrs?|ms|no|oz|prof"
    r"|sec|sr|st|tel|vol|vs"
)
_BETWEEN: Final = re.compile(
    rf"""(?![a-z])(?<=\S)(?:
    (?P<sign>[ ]*(?:{_SIGN}[ ]*){{1,9}}|[)\]}}][ ]*(?=[(\[{{])|,?["'][ ]+(?=["'])|[ ]+:[ ]|:{{2,9}}[ ]*
        |(?<=[^\s.!?])[ ]{{2,}}|[ ]*\t[ \t]*)
    | (?P<line>["')\]]{{0,3}}\s*\n\s*)
    | (?P<dots>\.{{2,9}}[ ]*)
    | (?P<glued>(?<=[a-z]{{2}})\.(?=[a-z]{{2}})|[ ]\.(?=[a-z]{{2}}))
    | (?P<short>(?<=[a-z])[ ](?i:{_SHORT})\.,?[ ]+)
    | (?P<number>(?<=[a-z])[ ]?[(\[]?(?:\d{{1,2}}|[a-h])[.)\]][ ]?(?=[^\W\d_]|["'])
        |(?<=[a-z])[ ]?\d{{1,2}}[ ]?(?={BEGINS}))
    | (?P<open>[ ]*[,;\u2012-\u2015-]{{1,9}}["')\]]{{0,3}}[ ]*(?={BEGINS})|:[ ]+(?={BEGINS})
        |(?<=[a-z]),{{1,9}}(?=[A-Z][a-z])|(?<=[a-z])["')]?[ ]*(?!You)(?={BEGINS}))
    )(?=["'(\[{{]{{0,3}}\w)""",
    re.VERBOSE,
)
_BEGINNING: Final = re.compile(rf"[\"'(\[{{]*{BEGINS}")
_LIKE_A_BEGINNING: Final = re.compile(rf"[\"'(\[{{]*(?:[A-Z][a-z]|I\b|{_SUBJECT})")
_NEW_LINE: Final = re.compile(rf"[\"'(\[{{]*(?!{_GOES_ON})[A-Z]")
_A_CAPITAL: Final = re.compile(r"[\"'(\[{]*[A-Z]")
_A_SUBJECT: Final = re.compile(rf"[\"'(\[{{]*{_SUBJECT}")
_RUNS_ON: Final = (
    r"(?:and|or|but|nor|yet|so|for|then|than|while|when|where|who|which|that|as|if|because|to|of|in|on|at|with|from|by"
    r"|over|under|into|through|along|past|is|are|was|were|has|have|had)\b"
)
_CLAUSE_BEFORE: Final = re.compile(r"\w[ ]+[\w'-]+[ ]+[\w'-]+[\"')\],;:-]*$")
_CLAUSE_AFTER: Final = re.compile(rf"[\"'(\[]*(?!{_RUNS_ON})[a-z][\w'-]*[ ]+[\w'-]+(?:[ ]+[\w'-]+|\s*(?:\n|$))")
_GLUED_CLAUSE: Final = re.compile(rf"[a-z]+[ ](?!{_RUNS_ON})[a-z]+(?:[ ][a-z]|$|[.!?])")
_HANGS: Final = re.compile(rf"\b(?:{_RUNS_ON}|the|a|an|my|your|his|her|its|our|their|no|not|very)$")
_SHORT_LINE: Final = 50
_NAME_AND_VERB: Final = re.compile(rf"[A-Z][a-z]+[ ](?!{_RUNS_ON}|(?:the|a|an)\b)[a-z]{{2}}")
_TWO_WORDS: Final = re.compile(r"\w[\"')\]]*[ ]+[\"'(\[]*[\w'-]+[\"')\].!?,]*$")
_LABEL: Final = re.compile(r"(?:^|[\s\"'(])[A-Z][\w.'-]*$")

# Letters, digits and signs that look like a stop where one may stand: right after a word.
_DOTS: Final = "·٠۰∙⋅‧⸱⸳᛫ꓸꞏᐧᆞ・･•●⚫⸼⸰˙𝅭𐄁𐩐․◦∘°˳"
_LOOK_ALIKE_STOPS: Final = (
    dict.fromkeys(_DOTS, ".") | dict.fromkeys("ǃⵑꜝ", "!") | dict.fromkeys("ʔɁˀ", "?") | {"ǀ": "|"}
)
_AFTER_A_WORD: Final = re.compile(rf"(?<=[^\W\d_])[{''.join(_LOOK_ALIKE_STOPS)}](?!\d)")
_ALONE: Final = re.compile(rf"(?<=\s)[{''.join(_LOOK_ALIKE_STOPS)}](?=\s)")
_STOP_NAME: Final = re.compile(
    r"FULL STOP|DANDA|EXCLAMATION|QUESTION MARK|INTERROBANG|END OF (?:PARAGRAPH|TEXT)|PARAGRAPH SEPARATOR|SECTION$"
    r"|\bSHAD\b|\bKHAN\b|\bKAAN\b|PANTI|MUCAAD|TA-ROL|SINGLE PUNCTUATION"
)


def separated(text: str) -> str:
    """A text in compatible form without markup, a stop or a line break at every mark that separates sentences."""
    text = _plain_stops(text)
    if _UNUSUAL.search(text):
        text = _MARKUP.sub("", _LINK.sub("link", text))
        for pattern, into in _REWRITES:
            text = pattern.sub(into, text)
        text = _STOP_AND_COMMA.sub(_stop_or_comma, text)
    return _broken(text)


def _plain_stops(text: str) -> str:
    """With the stops of other scripts, and what looks like one, as plain stops; without marks on punctuation."""
    if text.isascii() or not any(char in _LOOK_ALIKE_STOPS or _stop(char) or _is_mark(char) for char in set(text)):
        return text
    text = _ALONE.sub("|", _AFTER_A_WORD.sub(lambda match: _LOOK_ALIKE_STOPS[match.group()], text))
    kept: list[str] = []
    for char in text:
        if char.isascii():
            kept.append(char)
        elif stop := _stop(char):
            kept.append(f"{stop} ")
        elif not (kept and _is_mark(char) and unicodedata.category(kept[-1][0])[0] in "PS"):
            kept.append(char)
    return "".join(kept)


@lru_cache(maxsize=4096)
def _stop(char: str) -> str | None:
    """The plain stop for one of another script, by its name in Unicode."""
    name = unicodedata.name(char, "")
    if unicodedata.category(char) != "Po" or not _STOP_NAME.search(name) or "INVERTED" in name:
        return None
    return "!" if "EXCLAMATION" in name else "?" if "QUESTION" in name or "INTERROBANG" in name else "."


@lru_cache(maxsize=4096)
def _is_mark(char: str) -> bool:
    return unicodedata.category(char) in ("Mn", "Me")


def _stop_or_comma(match: re.Match[str]) -> str:
    """An end for a stop before a comma, or both marks: of an abbreviation, a name (`Yahoo!,`), a quotation."""
    stop, closing = match.groups()
    before = match.string[max(0, match.start() - 20) : match.start()]
    if closing:
        real = match.string[match.end() : match.end() + 1].islower()
    elif stop == ".":
        real = _ABBREVIATION.search(before) is not None
    else:
        real = _LABEL.search(before) is not None
    return match.group() if real else f"{stop}{closing} "


def _broken(text: str) -> str:
    """With a stop and a line break in every place where marks other than a stop separate sentences."""
    sure: set[int] = set()
    alike: list[re.Match[str]] = []
    found = list(_BETWEEN.finditer(text))
    for match in found:
        if match.lastgroup == "sign" and _BEGINNING.match(text, match.end()):
            sure.add(match.start())
        elif _looks_like_an_end(str(match.lastgroup), match):
            alike.append(match)
    kinds = set(map(_kind, alike)) if len(sure) + len(alike) >= _ENOUGH else set()
    parts, place = [], 0
    for match in found:
        if match.start() in sure or _kind(match) in kinds:
            parts += [text[place : match.start()], ".\n"]
            place = match.end()
    return "".join([*parts, text[place:]])


def _kind(match: re.Match[str]) -> tuple[str | None, str]:
    """The separator: its group, and the sign."""
    return match.lastgroup, match.group().strip() if match.lastgroup == "sign" else ""


def _looks_like_an_end(kind: str, match: re.Match[str]) -> bool:
    text, end, before = match.string, match.end(), _before(match)
    if kind == "sign":
        return bool(_LIKE_A_BEGINNING.match(text, end) and _TWO_WORDS.search(before)) or _joins_clauses(match)
    if kind == "dots":
        return bool(_A_SUBJECT.match(text, end) and _TWO_WORDS.search(before)) or _joins_clauses(match)
    if kind == "short":
        return bool(_A_SUBJECT.match(text, end) or _NAME_AND_VERB.match(text, end)) or _joins_clauses(match)
    if kind == "line":
        if before[-1:] in ".!?":
            return False
        if not before[-1:].isalnum():
            return bool(_NEW_LINE.match(text, end) or _A_SUBJECT.match(text, end)) or _joins_clauses(match)
        line = before.rpartition("\n")[2]
        return len(line) < _SHORT_LINE and not _HANGS.search(line) and _CLAUSE_AFTER.match(text, end) is not None
    if kind == "number":
        return match.group().strip().isdigit() or bool(_A_CAPITAL.match(text, end)) or _joins_clauses(match)
    if kind == "glued":  # sys.path is not a sentence's end, and neither is a .txt file
        return not _HANGS.search(before) and bool(_A_SUBJECT.match(text, end) or _GLUED_CLAUSE.match(text, end))
    if match.group().startswith(":"):
        return bool(_TWO_WORDS.search(before)) and not _LABEL.search(before)
    return True


def _joins_clauses(match: re.Match[str]) -> bool:
    """Whether three words stand before it and three after it, of which the first does not continue a clause."""
    return bool(_CLAUSE_BEFORE.search(_before(match)) and _CLAUSE_AFTER.match(match.string, match.end()))


def _before(match: re.Match[str]) -> str:
    return match.string[max(0, match.start() - 60) : match.start()]
