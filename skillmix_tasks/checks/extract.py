# ruff: noqa: RUF001  (replies use dashes, colons and quotation marks of every kind)
"""The answer inside a student's reply: the text between `Answer:` and `Explanation:`.

Which answer, if there are several: the last one that has text and is closed by an explanation, else the last one
that has text. A student asked to improve an answer often repeats the old one first ("Original answer: ...
Improved answer: ..."), and the task is to improve it; an `Answer:` after the last explanation usually repeats
the same text. The choice does not look at the texts, so nothing is gained by offering several. Text that is cut
off is neither counted nor shown to the judge, so hiding text gains nothing.

Where a marker counts (the words are in labels.yaml):
- at the beginning of a line, in any case, with markup around it (`**Answer:**`, `## Answer`, `Answer -`,
  `Improved answer (shorter):`); without colon or dash only when it stands alone on the line;
- an explanation's label also after a sentence's end or a closing quotation mark on the same line;
- a weak label (`Notes:`, `Analysis:`) at a paragraph's beginning, or where a reply has no other label;
  `Passage:` where a reply has no `Answer:`, or with a word such as "revised";
- only where a reply has no such marker at all: `Answer:` with a capital after a sentence's end, and
  `Explanation:` with a capital and a colon anywhere. An explanation that gets into the graded text argues
  with the judge, which is worse than a text cut short after a word that hardly ever occurs so.

The fields of JSON, tags, and the cells of a table with these names are markers, too. A reply without any of them
that begins with a label in another language's letters is parted by the next such label. `The answer: is ...` and
`her explanation: ...` in running text are not markers.
"""

import functools
import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Any, Final

from grading.protocol.reasoning import split_reasoning
from grading.safety.bounds import own_yaml
from skillmix_tasks.checks.naming import Named, names_skill
from skillmix_tasks.checks.normalise import LOOK_ALIKES, is_empty, visible


class ExtractionState(StrEnum):
    """How the answer was found."""

    FOUND = "found"
    """One answer marker, with text after it."""
    NO_MARKER = "no_marker"
    """No answer marker: the text is all that stands before the explanation."""
    SEVERAL_MARKERS = "several_markers"
    """More than one answer marker: the text is the chosen answer."""
    GUESSED = "guessed"
    """No marker closes the answer, and a paragraph about it, or to the user, was taken for its end."""
    EMPTY = "empty"
    """Nothing left: no text after any marker, or nothing but an unfinished line of reasoning."""


@dataclass(frozen=True)
class Extraction:
    """The answer, and how it was found; `text` is empty exactly where the state is EMPTY."""

    text: str
    state: ExtractionState


@dataclass(frozen=True)
class _Marker:
    start: int
    end: int
    opens: bool  # an answer marker; else an explanation marker
    qualified: bool = False  # by a word such as "improved"


_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*[\w+-]*[ \t]*(?:\n|\Z)", re.MULTILINE)
_QUOTED_LINES: Final = re.compile(r"^[ \t]*>[ \t>]*")
_RULE: Final = re.compile(r"[ \t]*(?:-{3,}|\*{3,}|_{3,}|={3,}|\*[ ]\*[ ]\*|-[ ]-[ ]-|>*)[ \t]*")
_BLANK_LINES: Final = re.compile(r"\n(?:[ \t]*\n){3,}")
_STRAIGHT: Final = str.maketrans("“”„‟«»‘’", '""""""\'\'')
_PAIRS: Final = ("“”", "„“", "«»", "»«", "‘’")


@functools.lru_cache(maxsize=4096)
def _alike(char: str) -> str:
    """One character for a full-width, mathematical or look-alike one, so that places stay the same."""
    plain = unicodedata.normalize("NFKC", char).translate(LOOK_ALIKES)
    return plain if len(plain) == 1 else char


def _comparable(text: str) -> str:
    return text if text.isascii() else "".join(map(_alike, text))


_LABELS: Final[dict[str, Any]] = own_yaml("skillmix_tasks.checks", "labels.yaml")


def _any(name: str) -> str:
    """The table's words as one pattern; `[ ]` in them is a blank."""
    words = _LABELS[name].replace("[ ]", "\\x20").split()
    words += [word.capitalize() for word in words if not word.isascii()]  # a capital may look like another letter
    return f"(?:{'|'.join(map(_comparable, words))})"


def _paragraphs(name: str) -> re.Pattern[str]:
    return re.compile(rf"[\s*_(\[]{{0,9}}(?:{'|'.join(_LABELS[name])})", re.IGNORECASE)


_TAG: Final = (
    r"(?:</?(?:b|strong|em|i|u|p|div|h[1-6])>|\\(?:text(?:bf|it)?|emph|(?:sub)*section|paragraph)\*?\{|\}){0,3}"
)
_NUMBER: Final = r"(?:(?:part|step|section)[ \t]+\d[:.)]?[ \t]*|\(?(?:\d|[a-e]|[ivx]{1,3})[.)][ \t]*)?"
# The first bound lets go of a line without words at once.
_BEFORE: Final = (
    r"^(?=[^\w\n]{0,40}\w[^\n])"
    rf"(?P<before>(?:[^\w\n\"“'(\[【<{{\\]|_){{0,12}}{_NUMBER}{_TAG}[*_]{{0,3}}[\[(【\"“]?)"
)
_QUALIFIERS: Final = rf"(?P<qualifiers>(?:{_any('qualifiers')}(?:[ \t]+|(?<=[^\x00-\u2fff]))){{0,4}})"
_NOTE: Final = rf"(?:[ \t]+{_any('qualifiers_after')}|[ \t]*(?:\d|\([^()\n]{{0,40}}\)))?"
_CLAUSE: Final = (
    r"(?P<clause>(?:[ \t]+(?:of|for|des?|der|del|di|d[ao]s?|is as follows)\b|,[ \t]+(?:skill|point|line|step)\b)"
    r"[^:*_\n]{0,80}?)?"
)
# A colon, a dash or an arrow between spaces, a bracket, or the line's end; `alone` is set in the last case.
_COLON: Final = rf"[*_`]{{0,3}}[ \t]*[:∶=][*_=`$]{{0,3}}(?:[\"”](?=\s))?[*_]{{0,3}}{_TAG}\$?"
_AFTER: Final = (
    rf"\]?{_TAG}(?:{_COLON}|[*_]{{0,3}}[ \t]+(?:--|[-–—]|[-=]>|[→➡⇒])(?=\s|$)[*_]{{0,3}}|】"
    r"|[*_]{0,3}(?P<alone>[ \t]*[^\w\s?!,;\"'’”)]{0,6}[ \t]*$))"
)
_FLAGS: Final = re.MULTILINE | re.IGNORECASE


def _label(words: str, clause: str = "") -> re.Pattern[str]:
    return re.compile(rf"{_BEFORE}{_QUALIFIERS}(?P<word>{words}){_NOTE}{clause}{_AFTER}", _FLAGS)


_ANSWER: Final = _label(rf"(?:answer|ans|{_any('foreign_answer')}(?:[ ][^\s:*_]{{1,20}}){{0,2}})")
_WEAK_ANSWER: Final = _label(_any("weak_answer"))
_EXPLANATION: Final = _label(_any("explanation"), _CLAUSE)
_WEAK_EXPLANATION: Final = _label(_any("weak_explanation"), _CLAUSE)
_SENTENCE_END: Final = r"[.!?…\"”»][\"”»’')\]*_]{0,4}[ \t]*"
_ENGLISH: Final = re.compile(
    r"[^a-z]{0,9}[a-z '’-]{0,40}(?:expl|rationale|just|skill|anal|break|reas|comm|note|chang|impr|wh|how)",
    re.IGNORECASE,
)
_LATER_EXPLANATION: Final = re.compile(
    rf"{_SENTENCE_END}"
    rf"(?P<mark>(?:(?:\||--|//|[-–—])[ \t]*)?[*_(\[]{{0,3}}{_QUALIFIERS}{_any('explanation')}{_COLON})",
    re.IGNORECASE,
)
_LATER_ANSWER: Final = re.compile(rf"[.!?…:][ \t]+(?P<mark>[*_]{{0,3}}(?:Answer|ANSWER){_COLON})")
_ANY_EXPLANATION: Final = re.compile(rf"(?P<mark>[*_]{{0,3}}\b(?:Explanation|EXPLANATION){_COLON})")

# Tags of any name and in any brackets; whether the name is a label is looked up.
_ANY_TAG: Final = re.compile(
    r"(?:<\|?|&lt;|\[{1,2}|\{\{)(?P<close>/|end[ _])?(?:(?:begin|start)[ _])?(?P<name>[a-z][\w -]{1,30}?)"
    r"(?:[ ][^<>\[\]\n]{0,60}=[^<>\[\]\n]{0,60})?[ ]?(?:\|?>|&gt;|\}\}|\]{1,2}(?![ \t*_]*[:(]))",
    re.IGNORECASE,
)
_WORD_IN_WORD: Final = re.compile(r"(?<=[a-z])(?=[A-Z])")
_CDATA: Final = re.compile(r"<!\[CDATA\[|\]\]>")
_EDGE_TAG: Final = r"</?(?:p|div|br|body|html|blockquote)\s?/?>"
_OPENING_TAG: Final = r"<(?:b|strong|em|i|u|span)>"  # of a label behind the text
_EDGE_TAGS: Final = re.compile(
    rf"\A(?:\s{{0,9}}{_EDGE_TAG}){{1,9}}|(?:(?:{_EDGE_TAG}|{_OPENING_TAG})\s{{0,9}}){{1,9}}\Z"
)
_OBJECT: Final = re.compile(r"^[ \t]*(?:<\w{1,20}>)?\[?\s{0,9}\{", re.MULTILINE)
_FIELD: Final = re.compile(
    r"(?P<quote>[\"']?)\b(?P<key>\w[\w -]{0,39}):?(?P=quote)\s{0,9}:\s{0,9}"
    r"(?P<mark>[\"'])(?P<value>(?:\\.|(?!(?P=mark))[^\\])*)",
    re.DOTALL,
)
_DEEPEST: Final = 4  # objects inside objects
_MOST_WRAPPED: Final = 20  # times that a text is unwrapped
_TABLE_RULE: Final = re.compile(r"^[ \t]*\|(?:[ \t]*:?-{2,}:?[ \t]*\|)+[ \t]*$", re.MULTILINE)
_ROW: Final = re.compile(r"^[ \t]*\|(.*)\|[ \t]*$")
# A label in any language, at the reply's beginning and at that of a later line.
_ANY_LABEL: Final = re.compile(
    r"^[\s*_#>]{0,9}(?P<label>[^\s:：*_#>]{1,20}(?:[ ][^\s:：*_#>]{1,20}){0,2})[*_]{0,3}[ ]?[:：][*_]{0,3}",
    re.MULTILINE,
)


_ROLE: Final = re.compile(
    r"\s*(?:#{1,4}[ \t]*(?:response|assistant)[ \t]*:?[ \t]*$|\[?(?:assistant|model)\][ \t:]*"
    r"|(?:assistant|model)[ \t]*:|(?:assistant|model)[ \t]*$)",
    _FLAGS,
)
_NEXT_TURN: Final = re.compile(r"^[#* \t\[]{0,6}(?:user|human|instruction)[*\]]{0,3}[ \t]*:", _FLAGS)
# The last line, or the text in the last brackets, and the words of such a count of words.
_LAST: Final = re.compile(
    r"(?:\s*[*_]{0,2}[(\[<](?P<inside>[^()\[\]\n]{1,60})[)\]>]|\n(?P<line>[^\n]{1,60}))[*_.\s]{0,4}\Z"
)
_COUNTED: Final = frozenset(_LABELS["counted"].split())
_UNITS: Final = re.compile(
    r"(?:word|sentence|character|char|token)s?\b|\blength\b|\bend(?: of\b|\s*$)", re.IGNORECASE
)
_GREETING: Final = re.compile(rf"{_any('greeting')}\b[^\n:]{{0,120}}[.!](?=\s*\n)", re.IGNORECASE)
_ANNOUNCES: Final = re.compile(
    rf"(?:{_any('greeting')}\b[^\n:]{{0,60}})?(?:here|below|the following)\b"
    rf"[^\n:]{{0,80}}\b{_any('announces')}\b[^\n:]{{0,100}}:[*_]{{0,3}}[ \t]*(?P<line>(?=\n))?(?=\s)",
    re.IGNORECASE,
)
# A first line about the text to come, which counts where no label opens the answer.
_FIRST_LINE: Final = re.compile(
    rf"(?:{_any('greeting')}\b[^\n]{{0,200}}:"
    rf"|(?:here|below|i|i['’]\w+|after|based|as|let|this is|{_any('qualifiers')})\b[^\n]{{0,120}}\b"
    rf"(?:{_any('announces')}|(?:revis|improv|refin|rewr|tighten)\w*)\b[^\n]{{0,80}}[:.!])"
    r"[*_]{0,3}[ \t]*(?=\n[ \t]*\n)",
    re.IGNORECASE,
)
_BLOCK_SCALAR: Final = re.compile(r"\A[ \t]*[|>][+-]?[ \t]*(?=\n)")  # of YAML
_ABOUT: Final = _paragraphs("about")
_CLOSING: Final = _paragraphs("closing")
# A label of few words that no list has, and a text that is not one: `Anna said: "No."`
_OWN_LABEL: Final = re.compile(
    r"(?:[^\w\"“'‘«]|_){0,9}[^\W\d_a-z][^\s:*_]{0,29}(?:[ ][^\s:*_,;.!?]{1,30}){0,6}[*_]{0,3}[ ]?[:：]"
    r"(?!\d|//|[ ]?[\"“'‘«])"
)
_SPEAKS: Final = re.compile(
    r"\b(?:P\.? ?(?:P\.? ?)?S|said|says|asked|thought|wrote|read|was|is|are|were)\b", re.IGNORECASE
)
_LISTED: Final = re.compile(
    r"[ \t]*(?:(?:[-*•]|\d{1,2}[.)])[ \t]+(?:\*\*[^*\n]{2,60}\*\*|[\w' ()-]{2,60}?)|\*\*[^*\n]{2,60}\*\*)"
    r"[ \t]*(?:[:–—]|-[ \t]|(?<=:\*\*))"
)
_LOOKED_AT: Final = 300  # characters of a paragraph that may name a skill
_LINE_OF_MARKS: Final = r"(?:-{3,}|\*{3,}|_{3,})[ \t]*\n\s*"
_PARAGRAPH_END: Final = re.compile(rf"\n[ \t]*\n\s*(?:{_LINE_OF_MARKS})?|\n[ \t]*{_LINE_OF_MARKS}")


def extract_answer(reply: str, skills: Sequence[Named] = ()) -> Extraction:
    """The answer in `reply`, without reasoning, code fences, invisible characters and wrapping.

    Line breaks inside the answer stay, quotation marks and emphasis go only where they enclose all of it. A text
    that no label closes ends before a later paragraph that names one of `skills`: there it is explained.
    """
    text = _BLANK_LINES.sub("\n\n\n", split_reasoning(visible(reply)).visible)
    text = _own_turn(_FENCE.sub("", text))
    field = _json_answer(text)
    text = _without_tags(_without_table(text)) if field is None else f"Answer: {field}"
    markers = _markers(text)
    answers: list[tuple[Extraction, bool]] = []
    for marker, after in zip(markers, [*markers[1:], None], strict=False):
        if marker.opens:
            closed = after is not None and not after.opens
            answer = _tidy(
                text[marker.end : after.start if after else len(text)], closed, ExtractionState.FOUND, skills
            )
            if answer.text:
                answers.append((answer, closed))
    if answers:
        complete = [answer for answer, closed in answers if closed]
        chosen = complete[-1] if complete else answers[-1][0]
        return replace(chosen, state=ExtractionState.SEVERAL_MARKERS) if len(answers) > 1 else chosen
    if not any(marker.opens for marker in markers):
        rest = _tidy(
            text[: markers[0].start] if markers else text, bool(markers), ExtractionState.NO_MARKER, skills
        )
        if rest.text:
            return rest
    return Extraction("", ExtractionState.EMPTY)


def _own_turn(text: str) -> str:
    """Without the role's name at the beginning, and without turns that the model made up after its explanation."""
    if role := _ROLE.match(text):
        text = text[role.end() :]
    turn = _NEXT_TURN.search(text)
    if turn and _EXPLANATION.search(text, 0, turn.start()):
        text = text[: turn.start()]
    return text


def _json_answer(text: str) -> str | None:
    """The answer's field of a JSON object that begins a line, also of one that is cut off or not quite JSON."""
    begin = _OBJECT.search(text)
    if begin is None or _ANSWER.search(text, 0, begin.start()):
        return None
    start = begin.end() - 1
    try:
        value, _ = json.JSONDecoder(strict=False).raw_decode(text, start)
    except (ValueError, RecursionError):
        value = {field["key"]: _unescaped(field["value"]) for field in _FIELD.finditer(text, start)}
    return _field(value, _ANSWER) or _field(value, _WEAK_ANSWER)


def _field(value: object, label: re.Pattern[str], depth: int = 0) -> str | None:
    """The first text whose name is a `label`, an outer one before those of objects inside."""
    if depth > _DEEPEST:
        return None
    fields = value if isinstance(value, dict) else {}
    for key, inner in fields.items():
        if isinstance(inner, str) and label.fullmatch(_name(key)):
            return inner
    inside = value if isinstance(value, list) else fields.values()
    return next(filter(None, (_field(inner, label, depth + 1) for inner in inside)), None)


def _name(key: object) -> str:
    return _WORD_IN_WORD.sub(" ", str(key)).replace("_", " ")


def _unescaped(text: str) -> str:
    try:
        return str(json.loads(f'"{text}"', strict=False))
    except ValueError:  # of a single-quoted text, or a bad escape
        return text.replace("\\'", "'").replace("\\n", "\n")


def _without_tags(text: str) -> str:
    """With the labels for tags of their names; a tag that a sentence speaks of stays."""
    if not any(mark in text for mark in ("<", "[", "{{", "&lt;")):
        return text
    text = _CDATA.sub("", text)
    tags = list(_ANY_TAG.finditer(text))
    closed = {tag["name"].lower() for tag in tags if tag["close"]}

    def label(tag: re.Match[str]) -> str:
        name = _name(tag["name"])
        answers = _ANSWER.fullmatch(name) or _WEAK_ANSWER.fullmatch(name)
        explains = _EXPLANATION.fullmatch(name) or _WEAK_EXPLANATION.fullmatch(name) or name == "details"
        if not answers and not explains:
            return tag[0]
        if tag["close"]:
            return "\n\nExplanation:\n" if answers else ""
        before = text[max(0, tag.start() - 40) : tag.start()].rstrip(" \t")
        if name.lower() in closed or not before or before[-1] in "\n>].!?":
            word = ("Answer" if _ANSWER.fullmatch(name) else "Passage") if answers else "\nExplanation"
            return f"\n{word}:\n"
        return tag[0]

    return _ANY_TAG.sub(label, text)


def _without_table(text: str) -> str:
    """With a labelled paragraph for each cell behind a label, or under one, in a table with an answer."""
    lines = text.split("\n") if _TABLE_RULE.search(text) else []
    rows = [[cell.strip() for cell in row[1].split("|")] if (row := _ROW.match(line)) else [] for line in lines]
    if not any(_ANSWER.fullmatch(cell) for cells in rows for cell in cells):
        return text
    found: list[str] = []
    header: list[str] = []
    for line, cells in zip(lines, rows, strict=True):
        named = [bool(_ANSWER.fullmatch(cell) or _EXPLANATION.fullmatch(cell)) for cell in cells]
        if not cells:
            header = []
            found.append(line)
        elif named == [True, False]:
            found.append(f"\n{cells[0].strip('*_ ')}: {cells[1]}\n")
        elif any(named):
            header = cells
        elif header and not _TABLE_RULE.match(line):
            found += [f"\n{name.strip('*_ ')}: {cell}\n" for name, cell in zip(header, cells, strict=False)]
    return "\n".join(found)


def _markers(text: str) -> list[_Marker]:
    """All markers in the order of the text."""
    plain = _comparable(text)
    opening = _labels(_ANSWER, plain, True)
    weak = _labels(_WEAK_ANSWER, plain, True)
    opening = (
        (opening + [marker for marker in weak if marker.qualified]) or weak or _marks(_LATER_ANSWER, plain, True)
    )
    closing = _labels(_EXPLANATION, plain, False) + _marks(_LATER_EXPLANATION, plain, False)
    weak = _labels(_WEAK_EXPLANATION, plain, False)
    closing += [marker for marker in weak if not closing or _begins_paragraph(plain, marker.start)]
    closing = closing or _marks(_ANY_EXPLANATION, plain, False)
    if not opening:
        opening, closing = _foreign(text, closing)
    return sorted(opening + closing, key=lambda marker: marker.start)


def _foreign(text: str, closing: list[_Marker]) -> tuple[list[_Marker], list[_Marker]]:
    """Markers by labels of another language that no list has: at the reply's beginning, and later."""
    begin = _ANY_LABEL.match(text)
    english = all(_ENGLISH.match(text, marker.start) for marker in closing)
    if begin is None or (begin["label"].isascii() and english and begin["label"] != "A"):
        return [], closing
    if not closing:
        later = (
            match
            for match in _ANY_LABEL.finditer(text, begin.end())
            if not match["label"].isascii() or begin["label"] + match["label"] == "AE"
        )
        closing = [_Marker(match.start(), match.end(), False) for match in later][:1]
    return ([_Marker(begin.start(), begin.end(), True)] if closing else []), closing


def _labels(pattern: re.Pattern[str], plain: str, opens: bool) -> list[_Marker]:
    found = filter(_is_label, pattern.finditer(plain))
    return [_Marker(match.start(), match.end(), opens, bool(match["qualifiers"])) for match in found]


def _marks(pattern: re.Pattern[str], plain: str, opens: bool) -> list[_Marker]:
    return [_Marker(*match.span("mark"), opens) for match in pattern.finditer(plain)]


def _begins_paragraph(text: str, place: int) -> bool:
    before = text[max(0, place - 80) : place]
    return not before.strip() or "\n" in before[len(before.rstrip(" \t\n")) :].replace("\n", "", 1)


def _is_label(match: re.Match[str]) -> bool:
    """Whether a match is a label and not part of a sentence.

    Without colon or dash, alone on its line, it needs a capital, and markup where it says what it is about
    (`**Explanation of the skills**`). `The answer:` needs the end of the line.
    """
    if match["alone"] is None:
        rest = match.string[match.end() : match.end() + 9].lstrip(" \t*_")
        return match["qualifiers"].strip().lower() != "the" or not rest or rest.startswith("\n")
    about = match.groupdict().get("clause")
    first = (match["qualifiers"] + match["word"])[0]
    marked = any(mark in match["before"] for mark in "#*_") or match["word"].isupper()
    return (not first.islower()) and (marked or (about is None and match["qualifiers"].lower().strip() != "the"))


def _tidy(text: str, closed: bool, state: ExtractionState, skills: Sequence[Named]) -> Extraction:
    """The text without its wrapping, an announcement before it and a count after it.

    Where no marker closes it, also without paragraphs about it or to the user; GUESSED says so.
    """
    # A second label counts on a line of its own: `Answer: Text: the oldest weapon.` is an answer's text.
    relabelled = state is ExtractionState.FOUND and text.lstrip(" \t*_").startswith("\n")
    text = _unwrap(_BLOCK_SCALAR.sub("", text))
    if relabelled and text.startswith((": ", "- ")) and "\n" not in text:
        text = _unwrap(text[2:])
    if text.startswith(("{", '"')):
        text = _of_json(text)
    for _ in range(3):
        greets = state is ExtractionState.NO_MARKER and (_GREETING.match(text) or _FIRST_LINE.match(text))
        label = _WEAK_ANSWER.match(_comparable(text[:200])) if relabelled else None
        begin = greets or _announcement(text, state) or (label if label and _is_label(label) else None)
        if begin and not is_empty(text[begin.end() :]):
            text = _unwrap(text[begin.end() :])
    if not closed and (end := _comment(text, skills)):
        text, state = _unwrap(text[:end]), ExtractionState.GUESSED
    for _ in range(2):
        if count := _count(text):
            text = _unwrap(text[: count.start()])
    return Extraction("", ExtractionState.EMPTY) if is_empty(text) else Extraction(text, state)


def _of_json(text: str) -> str:
    """The text of a JSON string with escapes, or of an object's field; any other text as it is."""
    try:
        value = json.loads(text, strict=False) if text.startswith("{") or "\\" in text else None
    except (ValueError, RecursionError):
        return text
    return (value if isinstance(value, str) else _field(value, _ANSWER) or _field(value, _WEAK_ANSWER)) or text


def _count(text: str) -> re.Match[str] | None:
    """The count of words or sentences, or the mark of an end, behind a text."""
    found = _LAST.search(text, max(0, len(text) - 80))
    if found is None:
        return None
    inside = found["inside"] or found["line"]
    words = re.findall(r"[a-z]+|\d+", inside.lower())
    if not words or not all(word.isdecimal() or word in _COUNTED for word in words):
        return None
    units = _UNITS.search(inside)
    if found["inside"] is None:
        return found if units and (re.search(r"\d", inside) or "end of" in inside.lower()) else None
    return found if units or all(map(str.isdecimal, words)) else None


def _announcement(text: str, state: ExtractionState) -> re.Match[str] | None:
    """A line such as "Here is the passage:"; where no label opens the answer, also before the text on one line."""
    found = _ANNOUNCES.match(text)
    return found if found and (found["line"] is not None or state is ExtractionState.NO_MARKER) else None


def _comment(text: str, skills: Sequence[Named]) -> int | None:
    """The place where paragraphs about the text or to the user begin, after at least one paragraph of it."""
    for gap in _PARAGRAPH_END.finditer(text):
        place = gap.end()
        label = _OWN_LABEL.match(text, place)
        if label and not _OWN_LABEL.match(text) and not _SPEAKS.search(label[0]):
            return gap.start()
        if _ABOUT.match(text, place) or _CLOSING.match(text, place):
            return gap.start()
        if _TABLE_RULE.match(text, text.find("\n", place) + 1):
            return gap.start()
        if _LISTED.match(text, place) and not text[: gap.start()].rstrip("* \t").endswith(":"):
            return gap.start()
        paragraph = text[place : place + _LOOKED_AT].split("\n\n", 1)[0]
        if any(names_skill(paragraph, skill) for skill in skills):
            return gap.start()
    return None


def _unwrap(text: str) -> str:
    """Without the wrapping of the complete text: blanks, rules, tags, block quotes, emphasis, quotation marks."""
    for _ in range(_MOST_WRAPPED):
        before = text
        text = _inside_marks(_without_rules(_EDGE_TAGS.sub("", text.strip()).strip()))
        if text == before:
            break
    return text


def _without_rules(text: str) -> str:
    """Without blank lines and rules at both ends, and without the marks of a block quote around all of it."""
    lines = text.split("\n")
    while lines and _RULE.fullmatch(lines[0]):
        lines.pop(0)
    while lines and _RULE.fullmatch(lines[-1]):
        lines.pop()
    if lines and all(line.lstrip().startswith(">") for line in lines if line.strip()):
        lines = [_QUOTED_LINES.sub("", line) for line in lines]
    return "\n".join(lines)


def _inside_marks(text: str) -> str:
    for mark in ("***", "**", "__", "*", "_", "`"):
        if text.startswith(mark) and text.endswith(mark) and len(text) > 2 * len(mark):
            inner = text[len(mark) : -len(mark)]
            if mark not in inner:
                return inner
    if text.startswith("\\boxed{") and text.endswith("}"):
        return text[len("\\boxed{") : -1]
    for opening, closing in _PAIRS:
        inner = text[1:-1]
        if text[:1] == opening and text[-1:] == closing and opening not in inner and closing not in inner:
            return inner
    if text.count("**") == 1:  # the other half stood before the marker: **Answer: text**
        text = text.removeprefix("**").removesuffix("**")
    return text[1:-1] if _is_quoted(text) else text


def _is_quoted(text: str) -> bool:
    """Whether the first and the last character are a pair of quotation marks around everything between them.

    `"Go," he said, "now."` begins and ends with a mark, but its first one closes early. Marks of one kind are
    distinguished by the character before them; an apostrophe between two letters is not one.
    """
    plain = text.translate(_STRAIGHT)
    mark = plain[:1]
    if len(plain) < 3 or mark not in "\"'" or plain[-1] != mark:
        return False
    depth = 1
    for place in range(1, len(plain) - 1):
        if plain[place] != mark:
            continue
        before, after = plain[place - 1], plain[place + 1]
        if mark == "'" and before.isalnum() and after.isalnum():
            continue
        depth += 1 if before.isspace() or before in "([-–—:" else -1
        if depth == 0:
            return False
    return depth == 1
