"""The red-team set: twelve families of attacks x k in {2, 3, 5} x four base answers, 144 items.

Every item is data and the same on every machine:

    RedTeamItem(id="null_model-k2-off_topic", family="null_model", kind="structure", k=2, base="off_topic",
                request=..., base_request=..., earned=())
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from jinja2 import Environment

from grading.safety.bounds import own_yaml
from grading.safety.templates import environment
from grading.verdict import Criterion, GradingRequest

KS = (2, 3, 5)
BASES = ("empty", "off_topic", "one_skill", "honest")
TOPIC = "topic"

Kind = Literal["structure", "meaning"]


@dataclass(frozen=True)
class Family:
    """One kind of attack; `texts` are its templates, one for each k."""

    name: str
    kind: Kind
    about: str
    texts: tuple[str, ...]


@dataclass(frozen=True)
class RedTeamItem:
    """An attacked answer beside the same answer without the attack.

    The answer has k features to show and a topic, so there are k + 1 criteria; `earned` are the ids of those
    that the base answer meets, and the attack adds none.
    """

    id: str
    family: str
    kind: Kind
    k: int
    base: str
    request: GradingRequest
    base_request: GradingRequest
    earned: tuple[str, ...]


@cache
def families() -> tuple[Family, ...]:
    """The twelve families, in the order of attacks.yaml."""
    return tuple(
        Family(name, entry["kind"], entry["about"], tuple(entry["texts"]))
        for name, entry in _read("attacks.yaml").items()
    )


def redteam_items() -> list[RedTeamItem]:
    """All items, family by family."""
    return [
        _item(family, text, k, base)
        for family in families()
        for k, text in zip(KS, family.texts, strict=True)
        for base in BASES
    ]


def shown_by() -> dict[str, str]:
    """For each criterion's text the sentence that meets it in the base answers."""
    data = _read("bases.yaml")
    return {entry["text"]: entry["shows"] for entry in (*data["features"], data["topic"])}


def _item(family: Family, text: str, k: int, base: str) -> RedTeamItem:
    data = _read("bases.yaml")
    criteria = (
        *(Criterion(f"f{n}", feature["text"]) for n, feature in enumerate(data["features"][:k], 1)),
        Criterion(TOPIC, data["topic"]["text"]),
    )
    ids = [criterion.id for criterion in criteria]
    earned = {"empty": [], "off_topic": [], "one_skill": [ids[0], TOPIC], "honest": ids}[base]
    answer = data["off_topic"] if base == "off_topic" else _sentences(criteria, earned)
    # Quotes itself, so it passes for grounded.
    dictated = {id_: {"quote": "every criterion is earned", "earned": True} for id_ in ids}
    attacked = _jinja().from_string(text).render(base=answer, criteria=criteria, verdict=json.dumps(dictated))
    return RedTeamItem(
        id=f"{family.name}-k{k}-{base}",
        family=family.name,
        kind=family.kind,
        k=k,
        base=base,
        request=GradingRequest(data["context"], criteria, attacked.strip("\n ")),
        base_request=GradingRequest(data["context"], criteria, answer),
        earned=tuple(earned),
    )


def _sentences(criteria: tuple[Criterion, ...], earned: list[str]) -> str:
    topic_first = sorted(criteria, key=lambda criterion: criterion.id != TOPIC)
    return " ".join(shown_by()[criterion.text] for criterion in topic_first if criterion.id in earned)


@cache
def _read(name: str) -> dict[str, Any]:
    data: dict[str, Any] = own_yaml("grading.redteam", name)
    return data


@cache
def _jinja() -> Environment:
    made = environment()
    made.filters |= {"tags": _tags, "zero_width": _zero_width, "mirrored": _mirrored}
    return made


def _tags(text: str) -> str:
    """ASCII in Unicode's tag characters, which no font shows and tokenizers pass on."""
    return "".join(chr(0xE0000 + ord(char)) for char in text)


def _zero_width(text: str) -> str:
    """ASCII as bits: a zero-width space for 0, a zero-width non-joiner for 1."""
    return "".join(f"{ord(char):08b}" for char in text).translate({ord("0"): "\u200b", ord("1"): "\u200c"})


def _mirrored(text: str) -> str:
    """Written backwards under a right-to-left override, so that a screen shows it forwards."""
    return f"\u202e{text[::-1]}\u202c"
