"""Findings for a pack's author: faults of content that a schema cannot see."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from skillmix_tasks.cells import cells_left, evaluation_cells, tasks_of
from skillmix_tasks.checks import find_named
from skillmix_tasks.checks.normalise import words
from skillmix_tasks.items.pack import PAPER_COUNTS, Control, Pack, Skill, bundled_packs
from skillmix_tasks.scoring.controls import control_item
from skillmix_tasks.scoring.points import check_reply

RUN = 5  # words in a row that an example may not share with its definition or with a topic's name


def findings(pack: Pack) -> list[str]:
    """One sentence for each finding; none for a clean pack."""
    return [
        *_repeated_titles(pack),
        *(finding for skill in pack.skills for finding in _example(pack, skill)),
        *_small_splits(pack),
        *_other_than_the_paper(pack),
        *(finding for control in pack.controls for finding in _control(pack, control)),
    ]


def counts(pack: Pack) -> dict[str, int]:
    """The numbers of skills and topics, in all and by split."""
    common = sum(skill.common is not None for skill in pack.skills)
    return pack.sizes | {"common skills": common, "controls": len(pack.controls)}


def items_by_task(pack: Pack) -> dict[str, int]:
    """How many items each task has on `pack`: its own tasks, or those of `language` on a pack of the user's."""
    found = {}
    for name, spec in tasks_of(pack).items():
        if pack.about.id not in bundled_packs() and spec.pack != "language":
            continue
        skills = [skill.id for skill in pack.skills_of(spec.split)]
        found[name] = pack.combinations(skills, spec.k) * len(pack.topics_of(spec.split))
    return {name: number for name, number in found.items() if number}


def cells_for_training(pack: Pack) -> dict[int, int]:
    """How many texts of each k can be made for train topics, without the items of the tasks.

    As in own plans: of all skills with k = 1, of the train skills with more.
    """
    ks = sorted({spec.k for spec in tasks_of(pack).values()})
    excluded = evaluation_cells(pack, ks)
    return {k: cells_left(pack, k, skills="all" if k == 1 else "train", excluded=excluded) for k in ks}


def _other_than_the_paper(pack: Pack) -> Iterator[str]:
    if pack.about.lists is not None:
        for what, number in pack.sizes.items():
            if number != PAPER_COUNTS[what]:
                yield f"The paper has {PAPER_COUNTS[what]} {what}, and this pack has {number}."


def _repeated_titles(pack: Pack) -> Iterator[str]:
    titles = Counter(skill.wikipedia.casefold() for skill in pack.skills if skill.wikipedia)
    for skill in pack.skills:
        if skill.wikipedia and titles[skill.wikipedia.casefold()] > 1:
            yield f"{skill.id}: the Wikipedia title {skill.wikipedia!r} stands with another skill too."


def _example(pack: Pack, skill: Skill) -> Iterator[str]:
    if named := find_named(skill.example, skill):
        yield f"{skill.id}: the example names the skill ({named})."
    if shared := _runs(skill.example) & _runs(skill.definition):
        yield f"{skill.id}: example and definition share the words {' '.join(min(shared))!r}."
    example = f" {' '.join(words(skill.example))} "
    for topic in pack.topics:
        if f" {' '.join(words(topic.name))} " in example:
            yield f"{skill.id}: the example is on the topic {topic.name!r}."


def _runs(text: str) -> set[tuple[str, ...]]:
    found = words(text)
    return {tuple(found[start : start + RUN]) for start in range(len(found) - RUN + 1)}


def _control(pack: Pack, control: Control) -> Iterator[str]:
    if control.kind == "good":
        for point, reason in check_reply(control_item(pack, control), control.text, ()).lost.items():
            yield f"{control.id}: a good control that code would take the point {point} from ({reason})."


def _small_splits(pack: Pack) -> Iterator[str]:
    for split, number in counts(pack).items():
        if number == 0 and split not in ("common skills", "controls"):
            yield f"There are no {split}: tasks of that split do not work with this pack."
