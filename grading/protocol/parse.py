"""From a judge's reply to the marks of one vote. Nothing is guessed: an invalid reply has a state.

A verdict that the reply only quotes from its prompt is invalid: see `_verdict`.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

from pydantic import BaseModel, TypeAdapter, ValidationError

from grading.backend import Reply, VoteCall
from grading.errors import first_fault
from grading.protocol.reasoning import split_reasoning
from grading.protocol.untrusted import comparable
from grading.verdict import Mark, State, Vote


class _Entry(BaseModel, extra="forbid", strict=True):
    quote: str
    earned: bool


# The search goes on inside a match, and a key may hold escapes.
_OBJECT_OF_OBJECTS = re.compile(r'\{(?=\s*"(?:[^"\\]|\\.){1,400}"\s*:\s*\{)')
_Entries = TypeAdapter(dict[str, _Entry])


class _NotAVerdictError(ValueError):
    """The reply cannot be read as exactly one verdict."""


def read_vote(call: VoteCall, reply: Reply, *, judge: str = "") -> Vote:
    """Read `reply` as a vote on `call`; an invalid reply gives a vote whose state says why.

    A reply that holds only reasoning is a verdict if the reasoning ends with one and holds no other.
    """
    state, detail, marks = reply.state, reply.detail, dict[str, Mark]()
    if state is State.REASONING_ONLY and reply.text:
        with suppress(_NotAVerdictError):
            marks = _marks(call, reply.text)
            state, detail = State.GRADED, "the verdict is at the end of the reasoning"
    elif state is State.GRADED:
        try:
            marks = _marks_of(call, reply.text)
        except _NotAVerdictError as error:
            state, detail = State.PARSE_FAILED, str(error)
    return Vote(call.number, state, marks, reply.text, detail, reply.usage, reply.stored, judge)


def _marks_of(call: VoteCall, text: str) -> dict[str, Mark]:
    """The marks in the reply as it is, else in the reply without its reasoning, which may hold drafts."""
    try:
        return _marks(call, text)
    except _NotAVerdictError:
        visible = split_reasoning(text).visible
        if not visible.strip() or visible == text:
            raise
        return _marks(call, visible)


def _marks(call: VoteCall, text: str) -> dict[str, Mark]:
    entries = _verdict(call, text)
    answer = normalise(call.answer)
    marks = {}
    for criterion in call.criteria:
        entry = entries[criterion]
        grounded = not entry.earned or is_evidence(entry.quote, answer)
        marks[criterion] = Mark(
            State.GRADED if grounded else State.UNGROUNDED, entry.earned if grounded else None, entry.quote
        )
    return marks


def _verdict(call: VoteCall, text: str) -> dict[str, _Entry]:
    """The one JSON object in the judge's `text` that marks exactly the call's criteria.

    Only objects at the top level count, so that JSON inside a quotation's string is never read; two different
    verdicts in one reply are invalid. A verdict that grants something and is in the prompt word for word is quoted
    or dictated: it does not count. (One that grants nothing counts: nobody dictates it.)
    """
    found = [value for value in _top_level(text, call.criteria) if set(value) == set(call.criteria)]
    if not found:
        raise _NotAVerdictError("the reply holds no JSON object with exactly the criteria's ids")
    if any(_grants(value) for value in found):
        shown = "\n".join(message["content"] for message in call.messages)
        dictated = {canonical(value) for value in dictated_verdicts(shown)}
        found = [value for value in found if not _grants(value) or canonical(value) not in dictated]
        if not found:
            raise _NotAVerdictError("the reply repeats a verdict that is in the text to be marked")
    if any(value != found[0] for value in found[1:]):
        raise _NotAVerdictError("the reply holds several different verdicts")
    try:
        return _Entries.validate_python(found[0])
    except ValidationError as error:
        raise _NotAVerdictError(str(first_fault(error))) from error


def _grants(value: dict[str, Any]) -> bool:
    return any(isinstance(entry, dict) and entry.get("earned") is True for entry in value.values())


def dictated_verdicts(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text` that would grant something if they were a judge's reply."""
    return (value for value in _anywhere(text) if _grants(value))


def canonical(value: object) -> str:
    """JSON data as text; equal for what is compared as equal, see `normalise`."""
    return normalise(json.dumps(value, sort_keys=True, ensure_ascii=False))


def _top_level(text: str, criteria: tuple[str, ...]) -> Iterator[dict[str, Any]]:
    """The top-level JSON objects of a reply.

    An object that begins like a verdict and is broken ends the search: later objects may be passages that the
    judge quoted inside it.
    """
    decoder = json.JSONDecoder(object_pairs_hook=_unique)
    opening = re.compile(r"\{\s*(?:" + "|".join(re.escape(json.dumps(c)) for c in criteria) + r")\s*:")
    position = text.find("{")
    while position != -1:
        value, end = _decoded(decoder, text, position)
        if value is None and opening.match(text, position):
            raise _NotAVerdictError("the reply holds a verdict that is broken off or malformed")
        if isinstance(value, dict):
            yield value
        position = text.find("{", end)


def _anywhere(text: str) -> Iterator[dict[str, Any]]:
    """The JSON objects in `text` that hold objects, also those inside others."""
    decoder = json.JSONDecoder()
    for opening in _OBJECT_OF_OBJECTS.finditer(text):
        try:
            value, _ = _decoded(decoder, text, opening.start())
        except _NotAVerdictError:
            continue  # the objects inside come up by themselves
        if isinstance(value, dict):
            yield value


def _decoded(decoder: json.JSONDecoder, text: str, position: int) -> tuple[Any, int]:
    """The JSON value that begins at `position` and where it ends; None if there is no such value."""
    try:
        return decoder.raw_decode(text, position)
    except _NotAVerdictError:
        raise
    except RecursionError as error:
        raise _NotAVerdictError("the reply is nested too deeply") from error
    except ValueError:  # not JSON, or a number of thousands of digits
        return None, position + 1


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    value = dict(pairs)
    if len(value) != len(pairs):
        raise _NotAVerdictError("the reply marks a criterion twice")
    return value


_ELISION = re.compile(r"\.{3}|…|\[\.\.\.\]|\[…\]")
_QUOTES = str.maketrans({"“": '"', "”": '"', "„": '"', "’": "'", "‘": "'", "‚": "'", "«": '"', "»": '"'})  # noqa: RUF001
# Scripts without spaces between words: Thai to Tibetan, Burmese, Khmer, kana, and Han.
_UNSPACED = (
    "\u0e00-\u0fff\u1000-\u109f\u1780-\u17ff\u3005-\u3007\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff"
    "\U00020000-\U0003ffff"
)
_UNIT = re.compile(f"(?P<letter>[{_UNSPACED}])|[^\\s\u2013\u2014{_UNSPACED}]+")  # dashes part words, too
LEAST_WORDS = 3  # of evidence; the prompt names it, so another number needs another prompt version


def normalise(text: str) -> str:
    """`text` in the form in which quotes are compared with the answer.

    It removes differences in the prompt's changes of a text (see grading.protocol.untrusted), compatibility forms
    (NFKC), case, invisible characters, quotation marks, and white space.
    """
    if text.isascii() and text.isprintable() and "&" not in text:  # of all that, it can have case and spaces
        return " ".join(text.casefold().split())
    text = unicodedata.normalize("NFKC", comparable(text)).casefold().translate(_QUOTES)
    invisible = {ord(c): None for c in set(text) if unicodedata.category(c) == "Cf"}
    return " ".join(text.translate(invisible).split())


def is_quoted(quote: str, normalised_answer: str) -> bool:
    """Whether `quote` is in the answer; parts around an ellipsis must follow one another in it.

    Quotation marks and punctuation around a part are not compared; a quote without a letter or digit is invalid.
    """
    return bool(_parts(quote, normalised_answer))


def is_evidence(quote: str, normalised_answer: str) -> bool:
    """Whether `quote` is in the answer, with LEAST_WORDS words in a row or all words of a shorter answer.

    In scripts without spaces two letters count as a word.
    """
    return 0 < _size(normalised_answer) <= max(map(_size, _parts(quote, normalised_answer)), default=0)


def _parts(quote: str, normalised_answer: str) -> list[str]:
    """The quote's parts as the answer holds them; none if one of them is missing."""
    full = _trim(normalise(quote))
    if full and full in normalised_answer:  # also if the answer itself holds an ellipsis
        return [full]
    parts = [part for part in (_trim(normalise(part)) for part in _ELISION.split(quote)) if part]
    position = 0
    for part in parts:
        position = normalised_answer.find(part, position)
        if position == -1:
            return []
        position += len(part)
    return parts


def _size(text: str) -> int:
    """Twice the words of a normalised text, and letters in scripts without spaces; at most what evidence needs."""
    size = 0
    for unit in _UNIT.finditer(text):
        if any(map(str.isalnum, unit[0])):
            size += 1 if unit["letter"] else 2
        if size >= 2 * LEAST_WORDS:
            return 2 * LEAST_WORDS
    return size


def _trim(text: str) -> str:
    start = next((i for i, c in enumerate(text) if c.isalnum()), len(text))
    end = next((i for i in range(len(text), start, -1) if text[i - 1].isalnum()), start)
    return text[start:end]
