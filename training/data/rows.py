"""The rows of a data set: one accepted text each, with its history.

    {"id": "irony+simile@sewing", "source": "generated", "pack": "language", "k": 2, "turns": 2,
     "prompt1": "...", "answer1": "Answer: ...", "text1": "...", "teacher_tokens": {"prompt": 700, ...}, ...}

While texts are accepted, rows are in rows_k{K}.jsonl; training.data.dataset makes the data set of them.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path
from types import NoneType
from typing import Annotated, Any, Final, Literal, get_args, get_origin

from datasets import Features, List, Value
from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from grading import UserError
from grading.errors import first_fault
from grading.safety.bounds import readable
from grading.safety.text import encodable
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.scoring.points import Checked

_NAME: Final = re.compile(r"rows_k(\d+)\.jsonl")
# Models may write characters that no file can hold.
_Text = Annotated[str, BeforeValidator(lambda text: encodable(text) if isinstance(text, str) else text)]


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class TopicName(_Part):
    """A topic's id and name."""

    id: str
    name: str


class LostPoint(_Part):
    """A point that code removed, and why."""

    criterion: str
    reason: str


class Check(_Part):
    """The findings of code in the answer of one turn: see skillmix_tasks.scoring.points.Checked."""

    turn: Literal[1, 2]
    extraction: str
    sentences: int
    sentences_doubtful: bool
    void: str | None
    lost: tuple[LostPoint, ...]

    @classmethod
    def of(cls, turn: Literal[1, 2], checked: Checked) -> Check:
        """The findings in the answer of `turn`."""
        return cls(
            turn=turn,
            extraction=checked.extraction.state.value,
            sentences=checked.sentences,
            sentences_doubtful=checked.sentences_doubtful,
            void=checked.void,
            lost=tuple(LostPoint(criterion=point, reason=str(loss)) for point, loss in checked.lost.items()),
        )


class Point(_Part):
    """One of the k + 3 points: s1 to sk in the order of the skills, topic, sense, length."""

    criterion: str
    earned: bool


class Evidence(_Part):
    """A passage that the judge quoted where it granted a point."""

    criterion: str
    quote: _Text


class Tokens(_Part):
    """Tokens of all calls for this text; of votes in one request the prompt is counted once."""

    prompt: int = Field(default=0, ge=0)
    completion: int = Field(default=0, ge=0)


class Row(_Part):
    """One row; the README of a data set describes each column (COLUMNS).

    A single turn (`turns` 1) has empty texts and no sentences for the second. A row with the source "mix" is a
    piece of pre-training text: it has `text` and no turns, and everything else of it is empty.
    """

    id: str = Field(
        min_length=1,
        description="the item: its skills' ids and its topic's id; of pre-training text a name made of its hash",
    )
    hash: str = Field(description="changes with anything that the teacher read (definitions, examples, prompts)")
    source: Literal["generated", "mix"] = Field(
        description='"generated" by a teacher, or "mix": pre-training text'
    )
    pack: str = Field(default="", description="the pack of skills and topics")
    k: int = Field(ge=0, description="the number of skills; 0 for pre-training text")
    skills: tuple[str, ...] = Field(default=(), description="the skills' ids, in the order of the prompt")
    skill_names: tuple[str, ...] = Field(default=(), description="their names")
    categories: tuple[str, ...] = Field(default=(), description="their categories")
    topic: TopicName = Field(default=TopicName(id="", name=""), description="the topic's id and name")
    turns: Literal[0, 1, 2] = Field(description="2; 1 where the teacher was asked once; 0 for pre-training text")
    prompt1: _Text = Field(default="", description="the first prompt")
    answer1: _Text = Field(default="", description="the reply to it, without the teacher's reasoning")
    prompt2: _Text = Field(default="", description="the second prompt; empty without a second turn")
    answer2: _Text = Field(default="", description="the reply to it, without the teacher's reasoning")
    text1: _Text = Field(default="", description="the answer inside the first reply")
    text2: _Text = Field(
        default="",
        description="the answer inside the second reply; the text of the last turn is the one that was judged",
    )
    sentences1: int | None = Field(default=None, description="sentences of text1")
    sentences2: int | None = Field(default=None, description="sentences of text2; null without a second turn")
    checks: tuple[Check, ...] = Field(
        default=(),
        description="for each turn what code found: how the answer was found, sentences, points lost and why",
    )
    points: tuple[Point, ...] = Field(default=(), description="the k + 3 points: s1 to sk, topic, sense, length")
    evidence: tuple[Evidence, ...] = Field(
        default=(), description="for points that the judge granted, the passage that it quoted"
    )
    teacher: str = Field(default="", description="the teacher's settings, as JSON text")
    judge: str = Field(default="", description="the judge's settings, as JSON text")
    teacher_tokens: Tokens = Field(default=Tokens(), description="tokens of the teacher's calls for this text")
    judge_tokens: Tokens = Field(default=Tokens(), description="tokens of the judge's calls for this text")
    text: _Text = Field(default="", description='pre-training text; "" in generated rows')

    @model_validator(mode="after")
    def _consistent(self) -> Row:
        if not self.k == len(self.skills) == len(self.skill_names) == len(self.categories):
            raise ValueError("it must have k skills, each with its name and category")
        if (self.source == "mix") != (self.turns == 0) or (self.source == "mix") != (self.k == 0):
            raise ValueError("just rows with the source 'mix' have no turns and no skills")
        if bool(self.text) != (self.source == "mix"):
            raise ValueError("just rows with the source 'mix' have a `text`")
        answers = {1: self.answer1, 2: self.answer2}
        for turn, answer in answers.items():
            if bool(answer) != (turn <= self.turns):
                raise ValueError(
                    f"with {self.turns} turns, answer{turn} is {'missing' if not answer else 'too many'}"
                )
        return self

    @classmethod
    def of_item(cls, pack: Pack, item: Item, **fields: Any) -> Row:
        """The row of an accepted text for `item`; `fields` are the columns that the item does not give."""
        return cls(
            id=item.id,
            hash=item.hash,
            source="generated",
            pack=pack.about.id,
            k=item.k,
            skills=tuple(skill.id for skill in item.skills),
            skill_names=tuple(skill.name for skill in item.skills),
            categories=tuple(skill.category for skill in item.skills),
            topic=TopicName(id=item.topic.id, name=item.topic.name),
            **fields,
        )

    @classmethod
    def of_text(cls, text: str) -> Row:
        """The row of a piece of pre-training text."""
        digest = sha256(encodable(text).encode()).hexdigest()[:16]
        return cls(id=f"mix-{digest}", hash=digest, source="mix", k=0, turns=0, text=text)

    @property
    def messages(self) -> list[dict[str, str]]:
        """The conversation: user, assistant, and once more with two turns; empty for pre-training text.

        Without blank space around a message, which some chat templates cut off and others keep.
        """
        turns = ((self.prompt1, self.answer1), (self.prompt2, self.answer2))[: self.turns]
        return [
            {"role": role, "content": text.strip()}
            for turn in turns
            for role, text in zip(("user", "assistant"), turn, strict=True)
        ]

    def line(self) -> str:
        """The row as a line of rows_k{K}.jsonl; `messages`, which repeats other columns, is left out."""
        return self.model_dump_json() + "\n"

    def record(self) -> dict[str, Any]:
        """The row as FEATURES describe it."""
        return self.model_dump() | {"messages": self.messages}


def _feature(kind: Any) -> Any:
    """The type of a column, or of a part of one, from that of its field."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        return {name: _feature(field.annotation) for name, field in kind.model_fields.items()}
    parts = [part for part in get_args(kind) if part not in (NoneType, ...)]
    if get_origin(kind) is tuple:
        return List(_feature(parts[0]))
    if parts:  # None or another type, or literals
        return _feature(type(parts[0]) if get_origin(kind) is Literal else parts[0])
    return Value({str: "string", int: "int32", bool: "bool"}[kind])


_MESSAGE: Final = {"role": Value("string"), "content": Value("string")}
FEATURES: Final = Features(_feature(Row) | {"messages": List(_MESSAGE)})

COLUMNS: Final = {name: str(field.description) for name, field in Row.model_fields.items()} | {
    "messages": "the conversation (user, assistant, user, assistant); empty for pre-training text"
}


def rows_file(folder: Path, k: int) -> Path:
    """The file of the rows with `k` skills."""
    return folder / f"rows_k{k}.jsonl"


def rows_files(folder: Path) -> dict[int, Path]:
    """The files of rows in `folder` by k, sorted."""
    found = {int(match[1]): file for file in folder.glob("rows_k*.jsonl") if (match := _NAME.fullmatch(file.name))}
    return dict(sorted(found.items()))


def read_rows(path: Path) -> Iterator[Row]:
    """The rows of a JSON Lines file, one at a time; UserError names an invalid line."""
    with readable(path) as lines:
        for number, line in enumerate(lines, start=1):
            try:
                yield Row.model_validate_json(line)
            except ValidationError as error:
                raise UserError(
                    f"{path}, line {number}, is not a row of a data set ({first_fault(error)})."
                ) from error
