"""Items: k skills and a topic, drawn so that the same pack, task and seed give the same ones everywhere.

Each draw ranks the sorted ids by a hash of (pack id, task, seed, index, id) and takes the first k, so that no
random generator's version matters, 100 items are the first 100 of 300, and a reworded definition changes none.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import count, islice
from typing import Any

from grading import UserError
from skillmix_tasks.items.pack import STUDENT_PROMPTS, Pack, Skill, Split, Topic

MOST_ITEMS = 200_000  # of one task; they are held in memory, and the papers' runs have 100


@dataclass(frozen=True, slots=True)
class Item:
    """A combination of skills with a topic.

    `id` names the combination; `hash` names all that the student reads (definitions, examples, prompts too),
    and is the key under which answers are stored.
    """

    id: str
    hash: str
    k: int
    split: Split
    skills: tuple[Skill, ...]
    topic: Topic

    @property
    def limit(self) -> int:
        """The most sentences that an answer may have: max(1, k - 1)."""
        return max(1, self.k - 1)

    def record(self, *, private: bool) -> dict[str, Any]:
        """The item as results carry it; of a private pack nothing but its hash."""
        record = {"item": self.hash if private else self.id, "hash": self.hash, "k": self.k, "split": self.split}
        if private:
            return record
        fields = {"id", "name", "category", "definition", "example"}
        return record | {
            "skills": [skill.model_dump(include=fields) for skill in self.skills],
            "topic": {"id": self.topic.id, "name": self.topic.name},
        }


def sample_items(
    pack: Pack, *, task: str, k: int, split: Split, seed: int, number: int, drop_common: bool = False
) -> list[Item]:
    """Draw `number` different items, or all if there are fewer.

    With `drop_common` those that hold a very common skill are left out, and the others stay as they are. No item
    holds two skills that exclude each other.

    Raises UserError if the pack has fewer than `k` skills, or no topic, in the split, and over MOST_ITEMS.
    """
    if number > MOST_ITEMS:
        raise UserError(f"{number} items of {task} are too many: set at most {MOST_ITEMS:,}.")
    skills = {skill.id: skill for skill in pack.skills_of(split)}
    topics = {topic.id: topic for topic in pack.topics_of(split)}
    if k > len(skills):
        raise UserError(
            f"The task {task} needs {k} skills for an item, and the pack {pack.about.id!r} has {len(skills)} "
            f"in the split {split!r}: choose a task with a smaller k, or a larger pack."
        )
    usable = [skill for skill in skills.values() if not (drop_common and skill.common)]
    if k > len(usable):
        raise UserError(
            f"The task {task} needs {k} skills for an item, and without the common ones the pack "
            f"{pack.about.id!r} has {len(usable)} in the split {split!r}: leave `drop_common` out."
        )
    if not topics:
        raise UserError(f"The pack {pack.about.id!r} has no topic in the split {split!r}.")
    combinations = pack.combinations([skill.id for skill in usable], k)
    if not combinations:
        raise UserError(
            f"The task {task} needs {k} skills for an item, and in the split {split!r} no {k} of the pack "
            f"{pack.about.id!r} go together: choose a task with a smaller k, or shorten `exclusive` in pack.yaml."
        )
    wanted = min(number, combinations * len(topics))
    stream = draw_items(
        pack,
        name=task,
        k=k,
        split=split,
        seed=seed,
        skills=skills,
        topics=topics,
        allowed=lambda chosen, _: not (drop_common and any(skills[skill].common for skill in chosen)),
    )
    return list(islice(stream, wanted))


def draw_items(
    pack: Pack,
    *,
    name: str,
    k: int,
    split: Split,
    seed: int,
    skills: dict[str, Skill],
    topics: dict[str, Topic],
    allowed: Callable[[Sequence[str], str], bool],
) -> Iterator[Item]:
    """Different items of `skills` and `topics`, by their ids, drawn under `name` without end.

    A draw skips a skill that an earlier one excludes, and takes the next. The caller stops: the iterator ends only
    after all items with `allowed` skills and topics.
    """
    drawn: set[tuple[frozenset[str], str]] = set()
    for index in count():
        stream = f"{pack.about.id}|{name}|{seed}|{index}"
        chosen = list(islice(pack.compatible(ranked(stream, skills)), k))
        topic = ranked(stream, topics)[0]
        if (frozenset(chosen), topic) not in drawn and allowed(chosen, topic):
            drawn.add((frozenset(chosen), topic))
            yield make_item(pack, split, [skills[skill] for skill in chosen], topics[topic])


def ranked(stream: str, names: Iterable[str]) -> list[str]:
    """`names` in the order of their hashes with `stream`, which is the same on every machine."""
    return sorted(names, key=lambda name: hashlib.sha256(f"{stream}|{name}".encode()).digest())


def make_item(pack: Pack, split: Split, skills: Sequence[Skill], topic: Topic) -> Item:
    """The item of `skills`, in this order, with `topic`."""
    name = f"{'+'.join(skill.id for skill in skills)}@{topic.id}"
    # Only the texts that the student reads: an answer stays valid if only its grading changes.
    texts = [[skill.name, skill.definition, skill.example] for skill in skills]
    prompts = [pack.prompts[prompt] for prompt in STUDENT_PROMPTS]
    content = json.dumps([pack.about.id, texts, topic.name, prompts])
    digest = hashlib.sha256(content.encode()).hexdigest()[:16]
    return Item(name, digest, len(skills), split, tuple(skills), topic)
