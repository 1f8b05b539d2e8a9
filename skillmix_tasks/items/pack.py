"""A pack: the skills, the topics and the prompts of one benchmark."""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Collection, Iterable, Iterator
from importlib.resources import files
from math import comb
from pathlib import Path
from typing import Annotated, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    field_validator,
    model_validator,
)

from skillmix_tasks.checks.normalise import words

Split = Literal["all", "train", "heldout", "public"]
Lists = Literal["paper-b", "paper-b-in-part"]
Source = Literal["released", "paper", "ours"]  # made public by the papers' authors, named by them, or neither
# The numbers of skills and topics of Zhao et al. 2024 (arXiv 2409.19808).
PAPER_COUNTS = {
    "skills": 101,
    "train skills": 53,
    "held-out skills": 48,
    "topics": 100,
    "train topics": 50,
    "held-out topics": 50,
}
STUDENT_PROMPTS = ("turn1", "turn2", "single")
PROMPTS = (*STUDENT_PROMPTS, "judge")


def _named(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9]+(-[a-z0-9]+)*", text):
        raise ValueError(f"{text[:40]!r} is not an id: write small letters, digits and hyphens, as in red-herring")
    return text


_Id = Annotated[str, AfterValidator(_named)]
_Text = Field(min_length=1)
# Of a skill's name. Patterns are made of names, and the work of a pattern doubles with each word.
_LONGEST_NAME = 100  # characters
_MOST_WORDS = 8
_MOST_ALIASES = 50


class PackPart(BaseModel):
    """The base of all parts of a pack: known fields only, and texts without white space around them."""

    model_config = ConfigDict(extra="forbid", frozen=True, str_strip_whitespace=True)


class Skill(PackPart):
    """One skill.

    `aliases` are further names under which a text may not name it; `common` is the reason why it counts as very
    common in ordinary text, and None on the others.
    """

    id: _Id
    name: str = _Text
    aliases: tuple[str, ...] = Field(default=(), max_length=_MOST_ALIASES)
    category: str = _Text
    source: Source = "ours"
    wikipedia: str | None = None
    definition: str = _Text
    example: str = _Text
    common: str | None = None

    @field_validator("name", "aliases")
    @classmethod
    def _short(cls, given: str | tuple[str, ...]) -> str | tuple[str, ...]:
        for name in [given] if isinstance(given, str) else given:
            if len(name) > _LONGEST_NAME or len(words(name)) > _MOST_WORDS:
                raise ValueError(f"a name has at most {_LONGEST_NAME} characters and {_MOST_WORDS} words")
        return given


class Topic(PackPart):
    """One topic and the side of the split it is on; "none" where a pack has no split of its topics."""

    id: _Id
    name: str = _Text
    split: Annotated[
        Literal["train", "heldout", "none"],
        BeforeValidator(lambda given: "heldout" if given == "held-out" else given),  # as it is written elsewhere
    ]
    source: Source = "ours"


class Control(PackPart):
    """A text with known correct verdicts.

    `skills` and `topic` are ids. `earned` are the points that a fair judge may give, by the rubric's names: s1,
    s2, ... for the skills in their order, topic, sense. A good control must get all of them.
    """

    id: _Id
    kind: Literal["good", "bad", "empty", "off_topic"]
    skills: tuple[str, ...] = Field(min_length=1)
    topic: str
    text: str
    earned: tuple[str, ...]

    @model_validator(mode="after")
    def _fitting(self) -> Control:
        skills = {f"s{number}" for number in range(1, len(self.skills) + 1)}
        points = {*skills, "topic", "sense"}
        earned = set(self.earned)
        if unknown := earned - points:
            raise ValueError(f"there is no point {', '.join(sorted(unknown))}: it has {', '.join(sorted(points))}")
        blank = not any(char.isalnum() for char in self.text)
        for wrong, sentence in (
            (blank and self.kind != "empty", "only the text of an empty control may be without a letter"),
            (self.kind == "good" and earned != points, "a good control earns every point"),
            (self.kind == "bad" and earned & skills, "a bad control earns no skill"),
            (self.kind == "empty" and (earned or not blank), "an empty control has no letters and earns nothing"),
            (self.kind == "off_topic" and "topic" in earned, "an off_topic control does not earn the topic"),
        ):
            if wrong:
                raise ValueError(sentence)
        return self


class About(PackPart):
    """The head of a pack. Results carry a private pack's hash and no text.

    `lists` says whose skills and topics these are, if they were imported from a paper. `exclusive` are sets of
    skill ids of which no item holds two: no short text meets both definitions.
    """

    id: _Id
    title: str = _Text
    version: str = _Text
    license: str = _Text
    private: bool = False
    lists: Literal["paper-b"] | None = None
    train_categories: tuple[str, ...] = ()
    heldout_categories: tuple[str, ...] = ()
    exclusive: tuple[Annotated[tuple[str, ...], Field(min_length=2)], ...] = ()

    @model_validator(mode="after")
    def _apart(self) -> About:
        both = set(self.train_categories) & set(self.heldout_categories)
        if both:
            raise ValueError(f"categories are both train and held-out: {', '.join(sorted(both))}")
        listed = Counter(skill for group in self.exclusive for skill in group)
        if twice := sorted(skill for skill, times in listed.items() if times > 1):
            raise ValueError(f"skills are in `exclusive` more than once: {', '.join(twice)}")
        return self


class Pack(PackPart):
    """A complete pack. `prompts` are Jinja templates: turn1, turn2, single, judge; `controls` may be empty."""

    about: About
    skills: tuple[Skill, ...]
    topics: tuple[Topic, ...]
    prompts: dict[str, str]
    controls: tuple[Control, ...] = ()

    @property
    def hash(self) -> str:
        """16 hexadecimal digits that change with anything in the pack."""
        # Without controls the hash is that of the time before there were any.
        content = self.model_dump(mode="json", exclude=None if self.controls else {"controls"})
        for field in ("exclusive", "lists"):  # nor do these change it where a pack has none
            if not content["about"][field]:
                del content["about"][field]
        return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()[:16]

    @property
    def sizes(self) -> dict[str, int]:
        """The numbers of skills and topics, in all and by split; the keys are those of PAPER_COUNTS."""
        return {
            "skills": len(self.skills),
            "train skills": len(self.skills_of("train")),
            "held-out skills": len(self.skills_of("heldout")),
            "topics": len(self.topics),
            "train topics": len(self.topics_of("train")),
            "held-out topics": len(self.topics_of("heldout")),
        }

    @property
    def lists(self) -> Lists | None:
        """Which paper's skills and topics these are, and whether all of them; None for lists of our own."""
        if self.about.lists is None:
            return None
        return "paper-b" if self.sizes == PAPER_COUNTS else "paper-b-in-part"

    def compatible(self, ranked: Iterable[str]) -> Iterator[str]:
        """The skill ids of `ranked` in their order, without those that an earlier one excludes."""
        group_of = {skill: number for number, group in enumerate(self.about.exclusive) for skill in group}
        taken: set[int] = set()
        for skill in ranked:
            group = group_of.get(skill)
            if group is None or group not in taken:
                yield skill
            if group is not None:
                taken.add(group)

    def combinations(self, skills: Collection[str], k: int) -> int:
        """How many sets of `k` of these skill ids an item may hold."""
        groups = [len(set(group) & set(skills)) for group in self.about.exclusive]
        free = len(set(skills)) - sum(groups)
        sets = [1]  # by how many skills of the groups they hold
        for size in groups:
            sets = [same + size * fewer for same, fewer in zip([*sets, 0], [0, *sets], strict=True)]
        return sum(number * comb(free, k - held) for held, number in enumerate(sets) if held <= k)

    def skills_of(self, split: Split) -> tuple[Skill, ...]:
        """The skills of a split, sorted by id; "public" are those that the papers' authors released."""
        categories = {"train": self.about.train_categories, "heldout": self.about.heldout_categories}
        return tuple(
            skill
            for skill in sorted(self.skills, key=lambda skill: skill.id)
            if split == "all"
            or (skill.source == "released" if split == "public" else skill.category in categories[split])
        )

    def topics_of(self, split: Split) -> tuple[Topic, ...]:
        """The topics of a split, sorted by id."""
        return tuple(
            topic
            for topic in sorted(self.topics, key=lambda topic: topic.id)
            if split == "all" or (topic.source == "released" if split == "public" else topic.split == split)
        )


def earlier_versions(name: str) -> list[Path]:
    """The folders of a bundled pack's earlier versions, by which the answers of old runs are graded."""
    folder = bundled_folder() / "earlier"
    version = re.compile(rf"{re.escape(name)}-[\d.]+")
    return sorted(path for path in folder.iterdir() if version.fullmatch(path.name))


def bundled_packs() -> dict[str, Path]:
    """The packs that come with this package, by name."""
    folders = sorted(bundled_folder().iterdir())
    return {folder.name: folder for folder in folders if (folder / "pack.yaml").is_file()}


def bundled_folder() -> Path:
    """The folder of the bundled packs, of their earlier versions (earlier), and of the pack to copy (to_copy)."""
    return Path(str(files("skillmix_tasks"))) / "packs"
