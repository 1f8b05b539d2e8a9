"""The prompts to the student, and their description for the judge, rendered from a pack's templates."""

from __future__ import annotations

from grading import UserError
from grading.safety.templates import Plain, TemplateRefusedError, render_foreign
from skillmix_tasks.items.draw import Item
from skillmix_tasks.items.pack import PROMPTS, Pack

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def sentence_limit(limit: int) -> str:
    """The limit in words: "one sentence", "three sentences"."""
    number = _NUMBERS[limit] if limit < len(_NUMBERS) else str(limit)
    return f"{number} sentence{'' if limit == 1 else 's'}"


def render(pack: Pack, name: str, item: Item) -> str:
    """Render the prompt `name` (turn1, turn2, single, judge) for an item.

    The template sees `topic` (its name), `skills` (each with name, definition, example) and `limit`.
    """
    values: dict[str, Plain] = {
        "topic": item.topic.name,
        "skills": [
            {"name": one.name, "definition": one.definition, "example": one.example} for one in item.skills
        ],
        "limit": sentence_limit(item.limit),
    }
    try:
        return render_foreign(pack.prompts[name], values)
    except TemplateRefusedError as error:
        raise UserError(
            f"The prompt {name}.jinja of the pack {pack.about.id!r} cannot be filled in ({error}); it may use "
            "topic, skills and limit."
        ) from error


def check_prompts(pack: Pack) -> None:
    """Fill in every prompt once; UserError if one cannot be filled, or leaves out the topic or a skill."""
    item = Item("", "", 1, "all", pack.skills[:1], pack.topics[0])
    for name in PROMPTS:
        text = render(pack, name, item)
        # The second turn continues a conversation that has named them.
        needed = () if name == "turn2" else (item.topic.name, item.skills[0].name, item.skills[0].definition)
        for part in (*needed, "" if text.strip() else "any text"):
            if part not in text:
                raise UserError(
                    f"The prompt {name}.jinja of the pack {pack.about.id!r} leaves out {part!r}: it must "
                    "show the topic, and each skill with its definition."
                )
