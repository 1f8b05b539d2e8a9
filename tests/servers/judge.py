"""The judge's side: it reads the grading prompt as a model would, and says what a test can compute.

Nothing is imported from `grading`, so that a fault in the prompt's making cannot hide in its reading.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from tests.servers.draw import digest, fraction

if TYPE_CHECKING:
    from collections.abc import Iterable

_END = re.compile(r"\n</text ([0-9a-f]{6,})>[ \t]*(?=\n|\Z)")
_CRITERION = re.compile(r'^- "([^"\n]+)": ', re.MULTILINE)
_WORD = re.compile(r"\S*\w\S*")


@dataclass(frozen=True)
class JudgePrompt:
    """What one grading prompt asks: the criteria's ids in order, and the answer to be marked."""

    criteria: tuple[str, ...]
    answer: str


def read_prompt(text: str) -> JudgePrompt | None:
    """Read a user message as a grading prompt; None if it is not one.

    The fence's name comes from the last closing line, after which the answer's writer can put nothing, so
    that an answer with fences and criteria of its own is read whole.
    """
    end = next(reversed(list(_END.finditer(text))), None)
    if end is None:
        return None
    head, found, answer = text[: end.start()].partition(f"\n<text {end[1]}>\n")
    if not found:
        return None
    criteria = tuple(_CRITERION.findall(head.rpartition("\nCriteria:\n")[2]))
    return JudgePrompt(criteria, answer) if criteria else None


def expected_marks(answer: str, criteria: Iterable[str], seed: int | None, earn: float = 0.8) -> dict[str, bool]:
    """Which criteria (by id) the judge grants this answer in the vote with this seed.

    Each is granted with probability `earn`, independently. An answer without words earns nothing, because
    there is nothing to quote. Choice i of a request with `n` > 1 is the vote with seed `vote_seed(seed, i)`.
    """
    words = _WORD.search(answer) is not None
    return {c: words and fraction("earned", answer, c, seed) < earn for c in criteria}


def vote_seed(seed: int | None, index: int) -> int | None:
    """The seed of a choice: the request's own for the first, the next numbers for those that follow."""
    return seed if index == 0 else (seed or 0) + index


def true_quote(answer: str, criterion: str, seed: int | None) -> str:
    """A run of three to seven words, cut letter by letter out of the answer; all of fewer, "" if it has none."""
    spans = [match.span() for match in _WORD.finditer(answer)]
    if not spans:
        return ""
    first = int(fraction("quote", answer, criterion, seed) * max(len(spans) - 2, 1))
    last = min(first + 2 + int(fraction("length", answer, criterion, seed) * 5), len(spans) - 1)
    return answer[spans[first][0] : spans[last][1]]


def false_quote(answer: str, criterion: str, seed: int | None) -> str:
    """Words that the answer does not hold."""
    return f"words never written {digest(answer, criterion, seed)[:16]}"


def verdict(
    answer: str, criteria: Iterable[str], seed: int | None, earn: float, *, lies: bool = False
) -> dict[str, dict[str, Any]]:
    """The judge's reply as JSON data; with `lies`, every quote is false.

    Half of the criteria that are not granted come with a quote, the others with ""; a judge may do both.
    """
    marks: dict[str, dict[str, Any]] = {}
    for criterion, earned in expected_marks(answer, criteria, seed, earn).items():
        quoted = earned or fraction("quoted", answer, criterion, seed) < 0.5
        make = false_quote if lies else true_quote
        marks[criterion] = {"quote": make(answer, criterion, seed) if quoted else "", "earned": earned}
    return marks


def denied(answer: str, criteria: tuple[str, ...], share: float) -> str | None:
    """The criterion that a judge of `Behaviour.whole` denies this answer; None with the probability `share`."""
    place = fraction("whole", answer)
    return None if place < share else criteria[int((place - share) / (1 - share) * len(criteria))]


def whole_verdict(
    answer: str, criteria: tuple[str, ...], seed: int | None, share: float
) -> dict[str, dict[str, Any]]:
    """The reply of a judge of `Behaviour.whole`; the quotes alone hang on the seed."""
    lost = denied(answer, criteria, share)
    return {c: {"quote": "" if c == lost else true_quote(answer, c, seed), "earned": c != lost} for c in criteria}


def flipped(answer: str, criterion: str, share: float) -> bool:
    """Whether a judge of `Behaviour.flips` says the contrary of what it is told."""
    return fraction("flipped", answer, criterion) < share


def recorded_verdict(prompt: JudgePrompt, marks: dict[str, bool], flips: float) -> dict[str, dict[str, Any]]:
    """The reply of a judge of `Behaviour.recorded`."""
    said = {c: marks[c] != flipped(prompt.answer, c, flips) for c in prompt.criteria}
    return {
        c: {"quote": true_quote(prompt.answer, c, None) if earned else "", "earned": earned}
        for c, earned in said.items()
    }


def in_order_of(schema: dict[str, Any], marks: dict[str, dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """Put each mark's fields into the schema's order, as a decoder bound to that schema would write them."""
    return {
        criterion: {name: marks[criterion].get(name) for name in shape.get("properties", {})}
        for criterion, shape in schema["properties"].items()
        if criterion in marks
    }


def schema_problem(schema: Any) -> str | None:
    """Why a provider in strict mode would refuse this schema; None if it would take it."""
    if not isinstance(schema, dict) or "type" not in schema:
        return "schema must be an object with a 'type'."
    if schema["type"] != "object":
        return None
    properties = schema.get("properties")
    if not isinstance(properties, dict):
        return "an object needs 'properties'."
    if schema.get("additionalProperties") is not False:
        return "'additionalProperties' is required to be supplied and to be false."
    if schema.get("required") != list(properties):
        return "'required' is required to be an array including every key in properties."
    return next((problem for p in properties.values() if (problem := schema_problem(p))), None)


def in_prose(marks: dict[str, dict[str, Any]]) -> str:
    """The verdict as a model writes it that no schema binds."""
    block = json.dumps(marks, indent=2, ensure_ascii=False)
    return f"Here is my assessment of the text.\n\n```json\n{block}\n```\n\nI marked every point."
