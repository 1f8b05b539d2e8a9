"""Rows for a trainer: tokens, and labels that are -100 wherever no loss is counted.

    {"id": "irony@sewing", "messages": [user, assistant, user, assistant]}   loss on both answers with their ends
    {"id": "mix-0123", "messages": [], "text": "..."}                        loss on all of it

TRL takes rows in this form as they are: which token counts is decided here and nowhere else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Any

from datasets import Dataset
from jinja2 import TemplateError
from pydantic import TypeAdapter, ValidationError
from typing_extensions import TypedDict

from grading import UserError
from grading.errors import first_fault
from training.data.source import texts_of

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class _Message(TypedDict):
    role: str
    content: str


_FORM = 1  # raised when this file makes something else of the same rows, which are cached
_MESSAGES, _TEXT = TypeAdapter(list[_Message]), TypeAdapter(str)
IGNORED = -100  # which torch's cross-entropy ignores


@dataclass(frozen=True)
class Encoded:
    """The rows of one split: columns `id`, `input_ids`, `labels`, and the lengths in tokens in the same order.

    `fingerprint` is a hash of the rows' content; `turns` counts conversations by their answers, `mixed` rows of
    plain text.
    """

    rows: Dataset
    lengths: list[int]
    fingerprint: str
    turns: dict[int, int]
    mixed: int


def encode(rows: Dataset, tokenizer: PreTrainedTokenizerBase, template: str) -> Encoded:
    """Tokens and labels of `rows`; `template` is the tokenizer's own chat template with marks around the answers.

    Raises UserError that names the row if one cannot be trained on.
    """
    kept = [name for name in ("id", "messages", "text") if name in rows.column_names]
    if kept in ([], ["id"]):
        raise UserError(
            f"The data set has no column `messages` and none `text`: it has {', '.join(rows.column_names)}."
        )
    digest = sha256()
    turns: Counter[int] = Counter()
    for place, row in enumerate(texts_of(rows)):
        messages, text = row.get("messages") or [], row.get("text") or ""
        _check(messages, text, _name(row, place))
        digest.update(json.dumps([_name(row, place), messages, text], sort_keys=True).encode())
        answers = sum(message.get("role") == "assistant" for message in messages)
        if not answers and not text:
            raise UserError(
                f"The row {_name(row, place)} has neither `messages` with an answer nor a `text` to train on."
            )
        turns[answers] += 1
    fingerprint = digest.hexdigest()[:16]
    encoded = rows.select_columns(kept).map(
        _encoder(tokenizer, template),
        with_indices=True,
        remove_columns=[name for name in kept if name != "id"],
        # The cache's name: the functions and the tokenizer, hashed by the library, would differ from run to run.
        new_fingerprint=sha256(
            repr((_FORM, fingerprint, template, tokenizer_identity(tokenizer))).encode()
        ).hexdigest()[:16],
        desc="Tokens",
    )
    mixed = turns.pop(0, 0)
    return Encoded(encoded.remove_columns("length"), list(encoded["length"]), fingerprint, dict(turns), mixed)


def _encoder(tokenizer: PreTrainedTokenizerBase, template: str) -> Callable[[dict[str, Any], int], dict[str, Any]]:
    def one(row: dict[str, Any], place: int) -> dict[str, Any]:
        if row.get("messages"):
            try:
                found: Any = tokenizer.apply_chat_template(
                    row["messages"], chat_template=template, return_dict=True, return_assistant_tokens_mask=True
                )
            except TemplateError as error:
                raise UserError(
                    f"The model's chat template does not take the row {_name(row, place)} ({error})."
                ) from error
            tokens, mask = found["input_ids"], found["assistant_masks"]
            if 1 not in mask:
                raise UserError(f"No token of the answers in the row {_name(row, place)} would be trained on.")
        else:
            # A text is a complete document: the model begins it as it begins any, and learns where it ends.
            tokens = [*tokenizer(row["text"])["input_ids"]]
            if tokens[-1:] != [tokenizer.eos_token_id]:
                tokens.append(tokenizer.eos_token_id)
            mask = [1] * len(tokens)
        labels = [token if counts else IGNORED for token, counts in zip(tokens, mask, strict=True)]
        return {"input_ids": tokens, "labels": labels, "length": len(tokens)}

    return one


def _check(messages: Any, text: Any, name: str) -> None:
    try:
        _MESSAGES.validate_python(messages)
        _TEXT.validate_python(text)
    except ValidationError as error:
        raise UserError(
            f"The row {name} is invalid: `messages` is a list of objects with a `role` and a `content`, and "
            f"`text` is text ({first_fault(error)})."
        ) from error


def tokenizer_identity(tokenizer: PreTrainedTokenizerBase) -> str:
    """A hash of what makes tokens of text, its special tokens included."""
    backend = getattr(tokenizer, "backend_tokenizer", None)
    own = backend.to_str() if backend is not None else tokenizer.name_or_path
    special = sorted((name, str(token)) for name, token in tokenizer.special_tokens_map.items())
    return sha256(repr((own, special)).encode()).hexdigest()


def _name(row: dict[str, Any], place: int) -> str:
    return str(row.get("id") or f"number {place}")
