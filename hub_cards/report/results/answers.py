"""The answers that the page shows, packed: small rows to filter by, and bodies that a browser unpacks when asked.

The page must stay one file that opens at once with 10,000 items, whose texts take some 40 MB. So bodies are
compressed in chunks; a browser reads a chunk with DecompressionStream. That they are base64 has a second use:
no text of a student is in the page as markup.
"""

from __future__ import annotations

import base64
import json
import zlib
from collections.abc import Sequence
from typing import Any, NamedTuple

from skillmix_tasks.stored.samples import Generation, Sample, VoteRecord

CHUNK = 50  # items whose bodies are unpacked together


class AnswerRow(NamedTuple):
    """One item as the page filters it, in the order that its script reads; scores are None without a verdict."""

    run: int
    item: int
    skills: list[int]  # as Answers.skills numbers them
    topic: str
    full_marks: float | None
    skill_fraction: float | None
    disputed: int  # points on which votes disagree
    undecided: int  # points without a verdict


class Answers:
    """Collects items; `rows` and `chunks` are what the page needs. Row i has its body in chunk i // CHUNK."""

    def __init__(self) -> None:
        self.rows: list[AnswerRow] = []
        self.skills: dict[str, int] = {}
        self._chunks: list[str] = []
        self._open: list[dict[str, Any]] = []

    def add(self, run: int, sample: Sample, generations: Sequence[Generation]) -> None:
        document = sample.doc
        scores = sample.scores
        self.rows.append(
            AnswerRow(
                run,
                document.index,
                [self.skills.setdefault(skill.name, len(self.skills)) for skill in document.skills],
                document.topic.name if document.topic else "",
                scores.full_marks if scores else None,
                scores.skill_fraction if scores else None,
                sum(len(generation.split_points) for generation in generations),
                sum(len(generation.states) for generation in generations),
            )
        )
        self._open.append(_body(sample, generations))
        if len(self._open) == CHUNK:
            self._pack()

    @property
    def chunks(self) -> list[str]:
        """The packed bodies."""
        if self._open:
            self._pack()
        return self._chunks

    def _pack(self) -> None:
        self._chunks.append(packed_text(json.dumps(self._open, ensure_ascii=False, separators=(",", ":"))))
        self._open = []


def packed_text(text: str) -> str:
    """The text as the page unpacks it."""
    return base64.b64encode(zlib.compress(text.encode(), 6)).decode()


def _body(sample: Sample, generations: Sequence[Generation]) -> dict[str, Any]:
    document = sample.doc
    return {
        "hash": document.hash,
        "skills": [[skill.name, skill.category, skill.definition] for skill in document.skills],
        "topic": document.topic.name if document.topic else None,
        "prompt": sample.prompt,
        "generations": [
            {
                "turns": turns,
                "answer": generation.answer,
                "sentences": generation.sentences,
                "void": generation.void,
                "code": {point: str(loss) for point, loss in generation.lost_in_code.items()},
                "points": generation.points,
                "states": generation.states,
                "votes": [_vote(vote) for vote in generation.votes],
            }
            for turns, generation in zip(sample.resps, generations, strict=True)
        ],
    }


def _vote(vote: VoteRecord) -> dict[str, Any]:
    record: dict[str, Any] = {
        "judge": vote.judge,
        "number": vote.number,
        "marks": {point: [mark.earned, mark.evidence, mark.state] for point, mark in vote.marks.items()},
    }
    if not vote.marks:
        record |= {"state": vote.state, "detail": vote.detail or vote.reply}
    return record
