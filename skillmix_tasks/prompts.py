"""What the student is asked, and what the judge is told of it, rendered from a pack's templates."""

from __future__ import annotations

from functools import cache

from jinja2 import Environment, StrictUndefined, Template, TemplateError

from grading import UserError
from skillmix_tasks.items import Item
from skillmix_tasks.pack import Pack

_NUMBERS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")


def sentence_limit(limit: int) -> str:
    """The limit in words: "one sentence", "three sentences"."""
    number = _NUMBERS[limit] if limit < len(_NUMBERS) else str(limit)
    return f"{number} sentence{'' if limit == 1 else 's'}"


def render(pack: Pack, name: str, item: Item) -> str:
    """Render the prompt `name` (turn1, turn2, single, judge) for an item.

    The template sees `topic` (its name), `skills` (objects with name, definition, example) and `limit`.
    """
    try:
        return _template(pack.prompts[name]).render(
            topic=item.topic.name, skills=item.skills, limit=sentence_limit(item.limit)
        )
    except TemplateError as error:
        raise UserError(
            f"The prompt {name}.jinja of the pack {pack.about.id!r} cannot be filled in ({error}); it may use "
            "topic, skills and limit."
        ) from error


@cache
def _template(source: str) -> Template:
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701
    return environment.from_string(source)
