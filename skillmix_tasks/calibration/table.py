"""The points in the reference judge's replies, which are tables; only for replies that were recorded.

A point belongs to the row that names its criterion, in any place, and is earned only by a plain 1 there. So a
lost row shifts nothing, a topic with the word "total" is not a sum, and a value other than 0 and 1 ("10", "N/A",
"--") is an invalid verdict, with a reason.

    | Criteria                         | Points Earned |
    |----------------------------------|---------------|
    | Correctly illustrates metaphor   | 1             |
    | Pertains to Sewing               | 1             |
    | Text makes sense                 | 1             |
    | At most one sentence             | 0             |
    | Total Points Earned              | 3             |
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from skillmix_tasks.scoring.rubric import LENGTH, SENSE, TOPIC

_MARKER = re.compile(r"grading table:?", re.IGNORECASE)
_EXPLANATION = re.compile(r"^\W*explanation\b", re.IGNORECASE | re.MULTILINE)
_NUMBER = re.compile(r"^\d+\s*[.):]\s+")
_BRACKETS = re.compile(r"\([^()]*\)?")
_POINT = re.compile(r"([01])(?:\.0*)?(?:\s*/\s*1(?:\.0*)?)?")
_HEADS = {"criteria", "criterion", "rubric item"}
_TOTALS = {"total points earned", "total points", "total", "total score", "total earned"}
_SHOWS = re.compile(
    r"(?:correctly |successfully )?(?:illustrates|contains|uses|demonstrates|shows) (?:the |use of )*"
)
_ABOUT = re.compile(r"(?:pertains|relates|is relevant|relevant) to (?:the topic(?: of)? )?")
_SENSE = re.compile(r"(?:the )?(?:text )?makes sense")


def read_table_reply(reply: str, skills: Sequence[str], topic: str) -> dict[str, bool | str]:
    """Read the points for `skills` (names, in order) and `topic` in a reply; any text, never raises.

    Each of s1 .. sk, topic, sense and length is earned or lost, or has the reason why it is not decided.
    """
    found: dict[str, list[str]] = {f"s{number}": [] for number in range(1, len(skills) + 1)}
    found |= {TOPIC: [], SENSE: [], LENGTH: []}
    unknown = []
    for criterion, value in _rows(reply):
        if _words(criterion) in _TOTALS:
            continue
        point = _point_of(criterion, skills, topic)
        if point is None:
            unknown.append(criterion)
        else:
            found[point].append(value)
    return {point: _decide(values, unknown) for point, values in found.items()}


def _rows(reply: str) -> list[tuple[str, str]]:
    """Criterion and value of each row of the table, markup removed, without its head and its rules."""
    marks = list(_MARKER.finditer(reply))
    text = reply[marks[-1].end() :] if marks else reply
    end = _EXPLANATION.search(text)
    rows = []
    for line in (text[: end.start()] if end else text).splitlines():
        if "|" not in line:
            continue
        inner = line.strip().removeprefix("|").removesuffix("|")
        criterion, value, *_ = [cell.strip().strip("*_`").strip() for cell in [*inner.split("|"), ""]]
        if _words(criterion) and _words(criterion) not in _HEADS:
            rows.append((_NUMBER.sub("", criterion), value))
    return rows


def _point_of(criterion: str, skills: Sequence[str], topic: str) -> str | None:
    """The point that a row is about, or None if that is not clear."""
    said = _words(criterion)
    if _SENSE.fullmatch(said):
        return SENSE
    if re.fullmatch(r"at most \w+(?: \w+)? sentences?", said):
        return LENGTH
    if about := _ABOUT.match(said):
        return TOPIC if said[about.end() :].removeprefix("the ") == _words(topic).removeprefix("the ") else None
    name = _SHOWS.sub("", said, count=1) if _SHOWS.match(said) else said
    full = [number for number, skill in enumerate(skills, start=1) if _words(skill) == name]
    # The judge often leaves out the part in brackets after a skill's name, or a part of it.
    head = _head(criterion)
    short = [number for number, skill in enumerate(skills, start=1) if _head(skill) == head]
    chosen = full or short
    return f"s{chosen[0]}" if len(chosen) == 1 else None


def _head(name: str) -> str:
    return _SHOWS.sub("", _words(_BRACKETS.sub(" ", name)), count=1)


def _words(text: str) -> str:
    return " ".join(re.findall(r"[^\W_]+", text.casefold()))


def _decide(values: Sequence[str], unknown: Sequence[str]) -> bool | str:
    """The decision in the rows of one criterion, or why it is invalid."""
    if not values:
        others = f"; rows that name none: {', '.join(map(repr, unknown))}" if unknown else ""
        return f"no row of the table names it{others}"
    read = {match[1] if (match := _POINT.fullmatch(value)) else None for value in values}
    if None in read:
        wrong = next(value for value in values if not _POINT.fullmatch(value))
        return f"its row says {wrong!r}, which is neither 0 nor 1"
    if len(read) > 1:
        return "two rows name it, one with 0 and one with 1"
    return read == {"1"}
