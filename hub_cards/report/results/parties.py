"""Students and judges: what identifies each, and its name for people."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

from skillmix_tasks.stored.facts import judge_name, student_name


@dataclass(frozen=True)
class Party:
    """A student or a judge: `key` identifies it, `name` is for people and may be shared.

    `facts` are settings that a reader knows, to distinguish parties of one name.
    """

    key: str
    name: str
    facts: dict[str, str] = field(default_factory=dict)


def digest(value: Any) -> str:
    """A short name for JSON data."""
    text = json.dumps(value, sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()[:10]


def student_of(record: dict[str, Any], label: str | None) -> Party:
    return Party(digest([record, label]), label or student_name(record), dict(_facts(record)))


def judge_of(record: dict[str, Any]) -> Party:
    """The judge of a results record.

    The shutdown date and the number of votes are not part of the judge's identity.
    """
    members = record.get("panel") or [record]
    own = [{name: value for name, value in one.items() if name not in ("shutdown", "votes")} for one in members]
    facts = dict(_facts(own[0])) | {"votes": str(record.get("votes"))}
    return Party(digest([own, record.get("refused_parameters")]), judge_name(record), facts)


_TOLD = (
    *("temperature", "top_p", "seed", "max_tokens", "reasoning_effort", "prompt_version", "revision", "dtype"),
    "class",
)


def _facts(record: dict[str, Any]) -> Iterator[tuple[str, str]]:
    """Settings by name, from the record and its `params`; no path, address or hash is among them."""
    for part in (record, *(value for value in record.values() if isinstance(value, dict))):
        for name, value in part.items():
            if name in _TOLD and isinstance(value, str | int | float):
                yield name, str(value)
