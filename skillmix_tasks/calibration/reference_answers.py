"""The reference's graded answers as requests to our judge, each with the decisions of its own judge."""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path

from grading import GradingRequest, UserError
from skillmix_tasks.calibration.rows import GradedRow, ItemKey, item_key
from skillmix_tasks.calibration.series import GradedSeries, majority, read_series
from skillmix_tasks.calibration.tree import Fault, Series, read_table
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.reference_pack import is_reference_pack
from skillmix_tasks.scoring.rubric import LENGTH, grading_request

GRADER = "gpt-4"


@dataclass(frozen=True)
class RecordedAnswer:
    """One answer with the prompt and reply of the reference's judge.

    `request` is the request to our judge. `earned` are the reference judge's points for the criteria of that
    request by id; `skills` are the names of the first of these. `length` is the point for the number of sentences,
    by the reference's own count. `index` (the item's place in the student's file, from 0) and `generation` (from
    1, of `generations`) are those within the answers of one series. `prompt` and `reply` are the first grading's.
    """

    series: Series
    generation: int
    generations: int
    index: int
    skills: tuple[str, ...]
    prompt: str
    reply: str
    request: GradingRequest
    earned: dict[str, bool]
    length: bool

    @property
    def item(self) -> tuple[Series, int]:
        """The key that the generations of one item share."""
        return self.series, self.index


def read_answers(folder: Path) -> tuple[list[RecordedAnswer], list[Fault]]:
    """All usable answers under `folder` that GPT-4 graded; and all faults.

    Raises UserError if there is none, or if the folder's skills, topics and prompts cannot be read.
    """
    found, faults = read_series(folder)
    if not is_reference_pack(folder):
        raise UserError(f"{folder} has no topics.txt beside its gradings: name the checkout itself.")
    pack = load_pack(str(folder))
    answers = []
    for one in found:
        if one.series.grader.startswith(GRADER):
            for generation in one.rows:
                usable, wrong = _read(folder, one, generation, pack)
                answers += usable
                faults += wrong
    if not answers:
        why = faults[0] if faults else "its gradings are by other judges"
        raise UserError(f"{folder} holds no answer that GPT-4 graded and that can be used: {why}.")
    return answers, sorted(set(faults))


def _read(
    folder: Path, one: GradedSeries, generation: int, pack: Pack
) -> tuple[list[RecordedAnswer], list[Fault]]:
    path = one.answers[generation]
    name = str(path.relative_to(folder))
    cells, broken = read_table(path)
    fault = partial(one.series.fault, file=name)
    faults = [fault(broken, "damaged file")] if broken else []
    texts: dict[ItemKey, tuple[int, str]] = {}
    for index, row in enumerate(cells):
        try:
            key = item_key(row, one.series.k)
        except ValueError as error:
            faults.append(fault(f"row {index + 1}: {error}; the row is left out", "unusable row"))
            continue
        number = sum(known.skills == key.skills and known.topic == key.topic for known in texts)
        if (text := row.get(one.series.column)) is not None:
            texts[ItemKey(key.skills, key.topic, number)] = (index, text)
    answers = []
    for key, gradings in one.rows[generation].items():
        if key not in texts:
            what = f"it lacks the answer on {key.topic} (row {gradings[0].index + 1} of its gradings)"
            faults.append(fault(f"{what}; it is left out", "missing answer"))
            continue
        index, text = texts[key]
        try:
            answers.append(_answer(one, generation, index, key, text, gradings, pack))
        except ValueError as error:
            faults.append(fault(f"row {index + 1}: {error}; it is left out", "unusable answer"))
    return answers, faults


def _answer(
    one: GradedSeries,
    generation: int,
    index: int,
    key: ItemKey,
    text: str,
    gradings: list[GradedRow],
    pack: Pack,
) -> RecordedAnswer:
    if text.strip() not in gradings[0].answer:
        raise ValueError("it is not the answer that was graded")
    skills = {" ".join(skill.name.split()): skill for skill in pack.skills}
    topics = {topic.name: topic for topic in pack.topics}
    unknown = [name for name in key.skills if name not in skills]
    if unknown or key.topic not in topics:
        raise ValueError(f"skills.csv or topics.txt does not have {', '.join(map(repr, unknown or [key.topic]))}")
    chosen = tuple(skills[name] for name in key.skills)
    item = Item("", "", one.series.k, "all", chosen, topics[key.topic])
    request = grading_request(pack, item, text)
    points = majority(gradings)
    return RecordedAnswer(
        series=one.series,
        generation=generation,
        generations=len(one.rows),
        index=index,
        skills=key.skills,
        prompt=gradings[0].prompt,
        reply=gradings[0].reply,
        request=request,
        earned={criterion.id: points[criterion.id] for criterion in request.criteria},
        length=points[LENGTH],
    )
