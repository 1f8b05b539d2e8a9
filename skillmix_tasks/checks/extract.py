# ruff: noqa: RUF001  (replies use dashes, colons and quotation marks of every kind)
"""The answer inside a student's reply: what stands between `Answer:` and `Explanation:`.

Which answer, if there are several: the last one that has text and is closed by an explanation, else the last
one that has text. A student asked to improve an answer often repeats the old one first ("Original answer: ...
Improved answer: ..."), and the improved one is what it was asked for; an `Answer:` after the last explanation
is as a rule the same text once more. The choice does not look at the texts, so nothing is gained by offering
several.

Where a marker counts:
- at the beginning of a line, in any case, with markup around it (`**Answer:**`, `## Answer`, `Answer -`,
  `Improved answer (shorter):`); without colon or dash only when it stands alone on the line;
- `Explanation:` with a capital also after a sentence's end or a closing quotation mark on the same line;
- only where a reply has no such marker at all: `Answer:` with a capital after a sentence's end, and
  `Explanation:` with a capital and a colon anywhere. An explanation that gets into the graded text argues
  with the judge, which is worse than a text cut short after a word that hardly ever occurs so.

`The answer: is ...` and `her explanation: ...` in running text are not markers.
"""

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from grading.protocol.reasoning import split_reasoning
from skillmix_tasks.checks.normalise import is_empty, visible


class ExtractionState(StrEnum):
    """How the answer was found."""

    FOUND = "found"
    """One answer marker, with text after it."""
    NO_MARKER = "no_marker"
    """No answer marker: the text is all that stands before the explanation."""
    SEVERAL_MARKERS = "several_markers"
    """More than one answer marker: the text is the chosen answer."""
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


_FENCE: Final = re.compile(r"^[ \t]*(?:```|~~~)[ \t]*[\w+-]*[ \t]*(?:\n|\Z)", re.MULTILINE)
_QUOTED_LINES: Final = re.compile(r"^[ \t]*>[ \t>]*")
_RULE: Final = re.compile(r"[ \t]*(?:-{3,}|\*{3,}|_{3,}|>*)[ \t]*")

_BEFORE: Final = r"^(?P<before>[ \t>#*_~•-]{0,12}(?:\d[.)][ \t]*)?[*_]{0,3}[\[(]?)"
_OLD_OR_NEW: Final = (
    r"(?:(?:the|my)[ \t]+)?"
    r"(?:(?:original|previous|first|old|second|improved|revised|updated|new|final|better|shorter)[ \t]+){1,2}"
)
_NOTE: Final = r"(?:[ \t]*(?:\d|\([^()\n]{0,40}\)))?"
# A colon, a dash between spaces, or the line's end; `alone` is set in the last case.
_AFTER: Final = r"\]?[*_]{0,3}(?:[ \t]*[:：][*_]{0,3}|[ \t]+[-–—](?=\s|$)[*_]{0,3}|(?P<alone>[ \t]*$))"
_ANSWER: Final = re.compile(
    rf"{_BEFORE}(?:{_OLD_OR_NEW})?(?P<word>answer){_NOTE}{_AFTER}", re.MULTILINE | re.IGNORECASE
)
_EXPLANATION: Final = re.compile(
    rf"{_BEFORE}(?:{_OLD_OR_NEW}|(?:brief|short)[ \t]+)?(?P<word>explanations?){_NOTE}"
    rf"(?P<clause>[ \t]+(?:of|for)\b[^:*_\n]{{0,80}})?{_AFTER}",
    re.MULTILINE | re.IGNORECASE,
)
_COLON: Final = r"[*_]{0,3}[ \t]*[:：][*_]{0,3}"
_LATER_EXPLANATION: Final = re.compile(
    rf"[.!?…\"”»][\"”»’')\]*_]{{0,4}}[ \t]*(?P<mark>[*_(]{{0,3}}(?:Explanation|EXPLANATION){_COLON})"
)
_LATER_ANSWER: Final = re.compile(rf"[.!?…:][ \t]+(?P<mark>[*_]{{0,3}}(?:Answer|ANSWER){_COLON})")
_ANY_EXPLANATION: Final = re.compile(rf"(?P<mark>[*_]{{0,3}}\b(?:Explanation|EXPLANATION){_COLON})")

_STRAIGHT: Final = str.maketrans("“”„‟«»‘’", '""""""\'\'')


def extract_answer(reply: str) -> Extraction:
    """The answer in `reply`, without reasoning, code fences, invisible characters and what wraps the whole of it.

    Line breaks inside the answer stay, quotation marks and emphasis go only where they enclose all of it.
    """
    text = _FENCE.sub("", split_reasoning(visible(reply)).visible)
    markers = _markers(text)
    answers: list[tuple[str, bool]] = []
    for marker, after in zip(markers, [*markers[1:], None], strict=False):
        if marker.opens:
            answer = _unwrap(text[marker.end : after.start if after else len(text)])
            if not is_empty(answer):
                answers.append((answer, after is not None and not after.opens))
    if answers:
        complete = [answer for answer, closed in answers if closed]
        chosen = complete[-1] if complete else answers[-1][0]
        return Extraction(chosen, ExtractionState.SEVERAL_MARKERS if len(answers) > 1 else ExtractionState.FOUND)
    if not any(marker.opens for marker in markers):
        rest = _unwrap(text[: markers[0].start] if markers else text)
        if not is_empty(rest):
            return Extraction(rest, ExtractionState.NO_MARKER)
    return Extraction("", ExtractionState.EMPTY)


def _markers(text: str) -> list[_Marker]:
    """All markers in the order of the text."""
    opening = [_Marker(match.start(), match.end(), True) for match in _ANSWER.finditer(text) if _is_label(match)]
    opening = opening or _marks(_LATER_ANSWER, text, True)
    closing = [
        _Marker(match.start(), match.end(), False) for match in _EXPLANATION.finditer(text) if _is_label(match)
    ]
    closing += _marks(_LATER_EXPLANATION, text, False)
    closing = closing or _marks(_ANY_EXPLANATION, text, False)
    return sorted(opening + closing, key=lambda marker: marker.start)


def _marks(pattern: re.Pattern[str], text: str, opens: bool) -> list[_Marker]:
    return [_Marker(*match.span("mark"), opens) for match in pattern.finditer(text)]


def _is_label(match: re.Match[str]) -> bool:
    """Whether a label without colon or dash, alone on its line, is a heading and not part of a wrapped sentence.

    It needs a capital, and markup where it says what it is about (`**Explanation of the skills**`).
    """
    if match["alone"] is None:
        return True
    about = match.groupdict().get("clause")
    return match["word"][0].isupper() and (about is None or any(mark in match["before"] for mark in "#*_"))


def _unwrap(text: str) -> str:
    """Without what stands around the whole text: blank space, rules, block quotes, emphasis, quotation marks."""
    while True:
        before = text
        text = _inside_marks(_without_rules(text.strip()))
        if text == before:
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
    if text.count("**") == 1:  # the other half stood before the marker: **Answer: text**
        text = text.removeprefix("**").removesuffix("**")
    return text[1:-1] if _is_quoted(text) else text


def _is_quoted(text: str) -> bool:
    """Whether the first and the last character are a pair of quotation marks around everything between them.

    `"Go," he said, "now."` begins and ends with a mark, but its first one closes early. Marks of one kind are
    told apart by what stands before them; an apostrophe between two letters is none.
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
