"""The judge's prompt and the shape of its reply.

What all answers to one question share (the task, the criteria) stands first, so that providers' prompt caches
hit; the answer comes last. The answer's delimiters hold a hash of the request, which the answer's writer
cannot foresee and a rerun reproduces, so that the text cannot close its own block.
"""

from __future__ import annotations

import hashlib
import json
from functools import cache
from importlib.resources import files
from typing import Any

from jinja2 import Environment, StrictUndefined, Template

from grading.backend import Message
from grading.text import encodable
from grading.verdict import GradingRequest

PROMPT_VERSION = "1"  # in every store key and every result; a changed template needs a new number


@cache
def _template(name: str) -> Template:
    environment = Environment(undefined=StrictUndefined, autoescape=False, trim_blocks=True)  # noqa: S701
    source = files("grading").joinpath("prompts", name).read_text(encoding="utf-8")
    return environment.from_string(source)


def build_messages(request: GradingRequest) -> tuple[Message, ...]:
    """Render the chat messages of one grading; the same request always gives the same bytes."""
    content = json.dumps([request.context, [(c.id, c.text) for c in request.criteria], request.answer])
    fence = hashlib.sha256(content.encode()).hexdigest()[:12]
    return (
        {"role": "system", "content": _template("system.jinja").render()},
        {"role": "user", "content": encodable(_template("user.jinja").render(request=request, fence=fence))},
    )


def verdict_schema(criteria: tuple[str, ...]) -> dict[str, Any]:
    """The JSON schema of a reply: for each criterion's id, in order, first `quote`, then `earned`."""
    mark = {
        "type": "object",
        "properties": {"quote": {"type": "string"}, "earned": {"type": "boolean"}},
        "required": ["quote", "earned"],
        "additionalProperties": False,
    }
    return {
        "type": "object",
        "properties": dict.fromkeys(criteria, mark),
        "required": list(criteria),
        "additionalProperties": False,
    }
