"""The student's side: a short text that depends on the conversation and the seed alone."""

from __future__ import annotations

import random
from typing import Any

from tests.servers.draw import digest

_WORDS = tuple(
    """
    amber anchor autumn bakery beacon bell bicycle bridge bright café candle canyon cellar cinder clever
    cloud copper crooked daring distant drifted dusty ember engine fading fjord forest garden gentle glass
    golden harbour hidden hollow humble island ivory jealous kettle lantern letter lively marble meadow
    mellow mirror modest naïve narrow needle noble ocean orchard patient pebble piano plain polished quarry
    quiet ragged river rusty saddle scarlet secret shadow silver simple slender sparrow stubborn summer
    tender thimble thunder timber tunnel velvet village violet wander wicked willow winter wooden yellow
    zealous
    """.split()  # noqa: SIM905
)


def text_of(message: dict[str, Any]) -> str:
    """A message's text, whether its content is a string, a list of parts or null."""
    content = message.get("content") or ""
    if isinstance(content, str):
        return content
    return "".join(part.get("text", "") for part in content if isinstance(part, dict))


def last_user_text(messages: list[dict[str, Any]]) -> str:
    """What the user said last; "" if the user said nothing."""
    return next((text_of(message) for message in reversed(messages) if message.get("role") == "user"), "")


def student_text(messages: list[dict[str, Any]], seed: int | None, index: int = 0) -> str:
    """What the student answers; `index` counts the choices of one request.

    Another seed, another question and another turn of the same conversation each give another text.
    """
    said = [(message.get("role"), text_of(message)) for message in messages]
    rng = random.Random(digest("student", said, seed, index))
    turn = sum(role == "user" for role, _ in said)
    answer = " ".join(_sentence(rng) for _ in range(rng.choice((1, 2))))
    return f"Answer: {answer}\nExplanation: In version {turn}, {_sentence(rng).lower()} {_sentence(rng)}"


def sound_text(messages: list[dict[str, Any]], seed: int | None, index: int = 0) -> str:
    """An answer of one sentence that names no skill and repeats no other answer."""
    said = [(message.get("role"), text_of(message)) for message in messages]
    rng = random.Random(digest("sound", said, seed, index))
    words = " ".join(rng.choices(_WORDS, k=16))
    return f"Answer: {words.capitalize()}.\nExplanation: It shows in the {rng.choice(_WORDS)}."


def _sentence(rng: random.Random) -> str:
    words = rng.choices(_WORDS, k=rng.choice((6, 8, 10)))
    return f"{' '.join(words).capitalize()}."
