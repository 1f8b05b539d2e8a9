"""The rubric: k + 3 points, of which the judge decides k + 2 and code the last, the number of sentences.

Source: Yu et al. 2023, arXiv 2310.17567, section 3.
"""

from __future__ import annotations

from grading import Criterion, GradingRequest
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import Pack
from skillmix_tasks.items.prompts import render

TOPIC = "topic"
SENSE = "sense"
LENGTH = "length"


def skill_points(item: Item) -> list[str]:
    """The names of the skills' points, in the order of the item's skills: s1, s2, ..."""
    return [f"s{number}" for number in range(1, item.k + 1)]


def grading_request(pack: Pack, item: Item, answer: str) -> GradingRequest:
    """The request to the judge about `answer`."""
    skills = [
        Criterion(point, f"It correctly shows {skill.name}, as defined above.")
        for point, skill in zip(skill_points(item), item.skills, strict=True)
    ]
    rest = (
        Criterion(TOPIC, f"It is about {item.topic.name}."),
        Criterion(SENSE, "It makes sense as a piece of writing."),
    )
    return GradingRequest(render(pack, "judge", item), (*skills, *rest), answer)
