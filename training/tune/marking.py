"""Chat templates that mark what the assistant writes, derived from a tokenizer's own.

The loss counts inside `{% generation %}`, which most published templates lack. A marked template
(templates/marked_chat.jinja) holds the original as a macro and prints the original's text in pieces. Where an
answer is in that text it finds by rendering the conversation once more with a known word in the answer's
place; so it does not depend on how the original is written. A marked piece begins where the generation
prompt ends, where a model begins to write, and ends with the end token.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from importlib.resources import files
from itertools import groupby
from typing import TYPE_CHECKING, cast

from jinja2 import TemplateError

from grading import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

_Conversation = list[dict[str, str]]

_MARKER = re.compile(r"\{%-?\s*generation\s*-?%\}")  # as transformers looks for it
_PROBE = "SkillMixProbe"  # a word that no template trims, splits or takes for markup
_CONTENTS = ("What carries stones?", "Rivers carry stones.", "And sand?", "Winds carry sand.")
_REMEDY = (
    "put one with {% generation %} and {% endgeneration %} around what the assistant writes into "
    "chat_template.jinja in the model's directory"
)


def marked_template(tokenizer: PreTrainedTokenizerBase) -> str:
    """The tokenizer's chat template, marked so that each answer and its end token carry the loss and nothing else.

    It is checked that it renders the same text as the original, and which tokens it marks. A template that has
    markers comes back as it is. Raises UserError, in one sentence, for one that cannot be marked.
    """
    name = tokenizer.name_or_path or "this tokenizer"
    if not tokenizer.chat_template:
        raise UserError(f"{name} has no chat template: train a chat model, or {_REMEDY}.")
    if not tokenizer.is_fast:
        raise UserError(
            f"{name} is not a fast tokenizer, and others do not report the position of a token in its text."
        )
    original = str(tokenizer.get_chat_template())
    if _MARKER.search(original):
        lead, tail, marked = "", "", original
    else:
        lead, tail = _surroundings(tokenizer, name)
        marked = _wrap(original, lead, tail)
        _check_text(tokenizer, marked, name)
    _check_marks(tokenizer, marked, lead, tail, name)
    return marked


def end_token(tokenizer: PreTrainedTokenizerBase, marked: str) -> int:
    """The id of the token that ends the answers of the `marked` template: the first special one after the text.

    Raises UserError if no such token carries the loss, as a model would then not learn to stop.
    """
    name = tokenizer.name_or_path or "this tokenizer"
    encoded = _encode(tokenizer, _conversation(1), marked, name)
    learned = [token for token, kept in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True) if kept]
    special = {*tokenizer.all_special_ids, *tokenizer.get_added_vocab().values()}
    answer = _squeezed(_CONTENTS[1])
    for place, token in enumerate(learned):
        if token in special and answer in _squeezed(str(tokenizer.decode(learned[:place]))):
            return token
    raise UserError(
        f"The marks in the chat template of {name} leave out the token that ends an answer, so a model would not "
        "learn to stop: put it before {% endgeneration %} in chat_template.jinja in the model's directory."
    )


def _surroundings(tokenizer: PreTrainedTokenizerBase, name: str) -> tuple[str, str]:
    """The assistant's output before and after an answer's own text, the end token included."""
    leads, tails = [], []
    conversation = _conversation(2)
    ends = set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    try:
        text = _render(tokenizer, conversation)
        for number in (1, 3):
            prompt = _render(tokenizer, conversation[:number], add_generation_prompt=True)
            start = text.find(_CONTENTS[number])
            if start < 0 or not text.startswith(prompt) or len(prompt) > start:
                raise UserError(
                    f"The chat template of {name} does not put an answer where its generation prompt ends, so the "
                    f"text to learn cannot be found in it: {_REMEDY}."
                )
            leads.append(text[len(prompt) : start])
            after, *_ = text[start + len(_CONTENTS[number]) :].partition(_CONTENTS[2])
            tails.append(_up_to_first(ends, after))
    except TemplateError as error:
        raise UserError(f"The chat template of {name} cannot write two turns ({error}): {_REMEDY}.") from error
    if not tails[0] or tails[0] != tails[1]:
        raise UserError(
            f"The chat template of {name} puts no end token after each answer, so a model would not learn to "
            f"stop: {_REMEDY}."
        )
    # Some templates put empty thoughts before the last answer only: these are not learned.
    return min(leads, key=len), tails[0]


def _up_to_first(tokens: set[str], text: str) -> str:
    """`text` up to the end of the first of the tokens in it; "" if there is none."""
    found = re.search("|".join(map(re.escape, sorted(tokens, key=len, reverse=True))) or "(?!)", text)
    return text[: found.end()] if found else ""


def _wrap(original: str, lead: str, tail: str) -> str:
    wrapper = files("training").joinpath("templates", "marked_chat.jinja").read_text(encoding="utf-8")
    for mark, value in (("@PROBE@", _PROBE), ("@LEAD@", lead), ("@TAIL@", tail)):
        wrapper = wrapper.replace(mark, json.dumps(value, ensure_ascii=False))
    # Jinja drops one newline at the end of a template, but would not where the macro ends.
    return wrapper.replace("@TEMPLATE@", original.removesuffix("\n"))


def _check_text(tokenizer: PreTrainedTokenizerBase, marked: str, name: str) -> None:
    """Raise UserError unless both templates write the same, or both refuse."""
    for conversation in _conversations():
        for prompted in (False, True):
            texts = [
                _rendered_or_refused(tokenizer, conversation, template, add_generation_prompt=prompted)
                for template in (None, marked)
            ]
            if texts[0] != texts[1]:
                raise UserError(f"The chat template of {name} writes another text once it is marked: {_REMEDY}.")


def _check_marks(tokenizer: PreTrainedTokenizerBase, marked: str, lead: str, tail: str, name: str) -> None:
    """Raise UserError unless the marked tokens are the answers, each with `tail` if it is known."""
    for turns in (1, 2):
        encoded = _encode(tokenizer, _conversation(turns), marked, name)
        pairs = zip(encoded["assistant_masks"], encoded["input_ids"], strict=True)
        runs = [[token for _, token in run] for kept, run in groupby(pairs, key=lambda pair: pair[0]) if kept]
        learned = [_squeezed(str(tokenizer.decode(run))) for run in runs]
        answers = [_squeezed(answer) for answer in _CONTENTS[1 : 2 * turns : 2]]
        if tail:
            right = learned == [_squeezed(lead) + answer + _squeezed(tail) for answer in answers]
        else:  # the template's own markers: what else they hold is its author's choice, but no prompt
            right = len(learned) == turns and all(map(str.__contains__, learned, answers))
            right = right and not any(_squeezed(asked) in text for asked in _CONTENTS[::2] for text in learned)
        if not right:
            raise UserError(
                f"The marks in the chat template of {name} do not fall on its answers' tokens (they fall on "
                f"{learned}): {_REMEDY}."
            )


def _encode(
    tokenizer: PreTrainedTokenizerBase, conversation: _Conversation, template: str, name: str
) -> Mapping[str, list[int]]:
    try:
        encoded = tokenizer.apply_chat_template(
            conversation, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
        )
    except TemplateError as error:
        raise UserError(f"The chat template of {name} cannot write two turns ({error}): {_REMEDY}.") from error
    return cast("Mapping[str, list[int]]", encoded)


def _conversation(turns: int, *, system: bool = False, pad: str = "") -> _Conversation:
    roles = ("user", "assistant") * turns
    said = [{"role": role, "content": f"{pad}{text}{pad}"} for role, text in zip(roles, _CONTENTS, strict=False)]
    return [*([{"role": "system", "content": f"{pad}Be brief.{pad}"}] if system else []), *said]


def _conversations() -> Iterator[_Conversation]:
    """One and two turns, with and without a system prompt and white space around the texts."""
    for system in (False, True):
        for pad in ("", " \n"):
            for turns in (1, 2):
                conversation = _conversation(turns, system=system, pad=pad)
                yield conversation
                yield conversation[:-1]


def _render(
    tokenizer: PreTrainedTokenizerBase,
    conversation: _Conversation,
    template: str | None = None,
    *,
    add_generation_prompt: bool = False,
) -> str:
    text = tokenizer.apply_chat_template(
        conversation, chat_template=template, tokenize=False, add_generation_prompt=add_generation_prompt
    )
    return str(text)


def _rendered_or_refused(
    tokenizer: PreTrainedTokenizerBase,
    conversation: _Conversation,
    template: str | None,
    *,
    add_generation_prompt: bool,
) -> str | None:
    """None where the template refuses, as some do a system prompt."""
    try:
        return _render(tokenizer, conversation, template, add_generation_prompt=add_generation_prompt)
    except TemplateError:
        return None


def _squeezed(text: str) -> str:
    return "".join(text.split())
