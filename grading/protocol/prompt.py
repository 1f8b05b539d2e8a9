"""The judge's prompt and the shape of its reply.

The parts that all answers to a question share (the task, the criteria) come first, so that providers' prompt
caches hit; the answer comes last. No field can leave its place: see grading.protocol.untrusted for the treatment
of each, and `_fence` for the delimiters of the answer.
"""

from __future__ import annotations

import hashlib
import json
from itertools import count
from typing import Any

from grading.backend import Message
from grading.errors import UserError
from grading.protocol.parse import LEAST_WORDS
from grading.protocol.untrusted import defused, shown, visible
from grading.safety.templates import own_template
from grading.verdict import Criterion, GradingRequest

PROMPT_VERSION = "5"  # in every store key and every result; a changed template needs a new number

_LONGEST_ID = 64  # characters


def build_messages(request: GradingRequest) -> tuple[Message, ...]:
    """Render the chat messages of one grading; the same request always gives the same bytes.

    Raises UserError for criteria whose ids cannot be the keys of a verdict.
    """
    _check_ids(request.criteria)
    context, answer = visible(request.context), visible(request.answer)
    # One line each, so that no text can begin a further criterion.
    criteria = [(criterion.id, " ".join(visible(criterion.text).split())) for criterion in request.criteria]
    user = own_template("grading.protocol", "prompts", "user.jinja").render(
        context=defused(context),
        criteria=[(json.dumps(id_, ensure_ascii=False), defused(text)) for id_, text in criteria],
        answer=defused(answer),
        replaced=any(defused(text) != text for text in (context, answer, *(text for _, text in criteria))),
        least=LEAST_WORDS,
        fence=_fence(request),
    )
    system = own_template("grading.protocol", "prompts", "system.jinja").render()
    return ({"role": "system", "content": system}, {"role": "user", "content": user})


def _fence(request: GradingRequest) -> str:
    """Twelve hexadecimal digits from the request's complete content, which does not contain them.

    A writer cannot foresee them, because they depend on the finished answer; a rerun reproduces them. The check
    closes the way that is left: searching for a text that holds its own hash.
    """
    content = json.dumps([request.context, [(c.id, c.text) for c in request.criteria], request.answer])
    folded = content.casefold()
    digests = (hashlib.sha256(f"{number}{content}".encode()).hexdigest()[:12] for number in count())
    return next(digest for digest in digests if digest not in folded)


def _check_ids(criteria: tuple[Criterion, ...]) -> None:
    ids = [criterion.id for criterion in criteria]
    for one in ids:
        # Ids are keys in the prompt, the schema and the reply, so they must come through all three unchanged.
        if not (1 <= len(one) <= _LONGEST_ID and one.isprintable() and shown(one) == one):
            raise UserError(
                f"The criterion id {one!r} cannot be used: take 1 to {_LONGEST_ID} visible characters on one "
                "line, without tags."
            )
    if len(set(ids)) < len(ids):
        raise UserError("Two criteria of one request have the same id: give each its own.")


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
