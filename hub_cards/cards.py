"""Cards: templates filled with a run's records. A card with a gap is refused."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from huggingface_hub import CardData
from jinja2 import Environment, PackageLoader, UndefinedError

from grading import UserError
from grading.safety import templates
from grading.safety.bounds import load_yaml

MARK = "skillmix-tasks"  # the tag of every card of ours; a second one, "skillmix-KIND", says what it is of
_UNFINISHED = re.compile(
    r"(?i:more information needed|\b(?:todo|tbd|fixme|xxx|lorem ipsum|placeholder)\b|\[your )"
    r"|[|:=`(]\s*(?:None|NaN|nan|null|undefined)\s*(?:[|`).,]|$)|\{\{|\}\}|\{%|<[A-Z_]+>",
    re.MULTILINE,
)
_FENCE = re.compile(r"^```.*?^```", re.MULTILINE | re.DOTALL)
_HEADING = re.compile(r"^(#+) (.+)$", re.MULTILINE)
_FRONT = re.compile(r"\A---\n(.*?)\n---\n", re.DOTALL)


def render_card(template: str, metadata: CardData, **facts: Any) -> str:
    """The card of hub_cards/templates/TEMPLATE.md.jinja, with `metadata` as its YAML header.

    Raises UserError if a fact is missing, or a section would be empty.
    """
    try:
        body = environment().get_template(f"{template}.md.jinja").render(facts)
    except UndefinedError as error:
        raise UserError(f"The card lacks a fact: {error.message}. The run's records do not have it.") from error
    text = re.sub(r"\n{3,}", "\n\n", body).strip()
    card = f"---\n{metadata.to_yaml()}\n---\n\n{text}\n"
    if gaps := find_gaps(card):
        raise UserError(f"The card would be unfinished ({'; '.join(gaps)}): the run's records lack it.")
    return card


@cache
def environment() -> Environment:
    """Our templates: an unknown name, or a value that is None, is an error and never a gap."""
    made = templates.environment(loader=PackageLoader("hub_cards"), lstrip_blocks=True, finalize=_known)
    made.filters["share"] = lambda value: f"{value:.3f}"
    made.filters["plain"] = _plain
    made.filters["figure"] = _figure
    return made


def _known(value: Any) -> Any:
    if value is None or callable(value):  # a record's entry may be missing where a method has its name
        raise UndefinedError("a value is not known")
    return value


def _figure(value: Any, places: int = 0) -> Any:
    """A number with separators of thousands; what is no number stays, and a gap among those is an error."""
    return f"{value:,.{places}f}" if isinstance(value, int | float) else value


def _plain(value: Any) -> str:
    """A recorded value for people: {"r": 4, "alpha": 8} is "r: 4, alpha: 8"."""
    if isinstance(value, dict):
        known = {name: one for name, one in value.items() if one is not None}
        return ", ".join(
            f"{name} ({_plain(one)})" if isinstance(one, dict) else f"{name}: {_plain(one)}"
            for name, one in known.items()
        )
    if isinstance(value, float):
        return f"{value:.0f}" if abs(value) >= 1000 else f"{value:.4g}"
    if isinstance(value, list | tuple):
        return ", ".join(map(_plain, value))
    return str(value)


def find_gaps(card: str) -> list[str]:
    """The gaps of a card: placeholders, and headings with nothing below them."""
    body = _FENCE.sub("code", _FRONT.sub("", card))
    gaps = [f"it says {match[0]!r}" for match in _UNFINISHED.finditer(body)]
    headings = [*_HEADING.finditer(body)]
    for heading, following in zip(headings, [*headings[1:], None], strict=True):
        text = body[heading.end() : following.start() if following else None].strip()
        if not text and (following is None or len(following[1]) <= len(heading[1])):
            gaps.append(f"the section {heading[2]!r} is empty")
    return gaps


def need(record: Any, fact: str, *, where: str) -> Any:
    """The value of `fact`, a path such as "data.rows", in a record; UserError with its name if it is missing."""
    refuse_gaps({}, {where: (record, [fact])})
    return _value(record, fact)


def _value(record: Any, fact: str) -> Any:
    for name in fact.split("."):
        record = record.get(name) if isinstance(record, dict) else None
    return record


def refuse_gaps(
    typed: Mapping[str, tuple[str | None, str]], records: Mapping[str, tuple[Any, Sequence[str]]]
) -> None:
    """Raise UserError with all facts that a card lacks.

    `typed` has what the command gives and what to type for it, `records` by file the facts in it.
    """
    gaps = [f"{fact} (type {example})" for fact, (value, example) in typed.items() if not value]
    for where, (record, facts) in records.items():
        missing = [fact for fact in facts if _value(record, fact) is None]
        gaps += [f"{', '.join(missing)} ({where} does not have it)"] if missing else []
    if gaps:
        raise UserError(f"The card lacks {', '.join(gaps)}.")


def is_ours(card: str, kind: str) -> bool:
    """Whether a card was made by `skillmix push` for that kind of repository."""
    front = _FRONT.match(card)
    if front is None:
        return False
    try:
        metadata = load_yaml(front[1])
    except ValueError:
        return False
    tags = metadata.get("tags") if isinstance(metadata, dict) else None
    return isinstance(tags, list) and {MARK, f"skillmix-{kind}"} <= set(map(str, tags))


def tags(kind: str, *more: str) -> list[str]:
    return [MARK, f"skillmix-{kind}", "skill-mix", *more]


def size_category(rows: int) -> str:
    """The Hub's name for a number of rows."""
    limits = [(10**3, "n<1K"), (10**4, "1K<n<10K"), (10**5, "10K<n<100K"), (10**6, "100K<n<1M")]
    return next((name for limit, name in limits if rows < limit), "1M<n<10M")
