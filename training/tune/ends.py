"""The tokens at which a model stops by itself: `eos_token_id` of its generation_config.json."""

from __future__ import annotations

from typing import TYPE_CHECKING

from grading import UserError

if TYPE_CHECKING:
    from transformers import GenerationConfig


def generation_config(model: str, revision: str | None = None) -> GenerationConfig:
    """How `model` (a directory or a Hub id) generates; config.json's if it has no other."""
    from transformers import AutoConfig
    from transformers import GenerationConfig as Config

    try:
        return Config.from_pretrained(model, revision=revision or "main")
    except OSError:
        return Config.from_model_config(AutoConfig.from_pretrained(model, revision=revision))


def end_tokens(config: GenerationConfig) -> list[int]:
    """The ids of the tokens at which a model stops; empty if there are none."""
    ends: int | list[int] | None = config.eos_token_id
    if ends is None:
        return []
    return [ends] if isinstance(ends, int) else list(ends)


def add_end(config: GenerationConfig, end: int) -> None:
    """Make a model stop at the token `end`, too."""
    known = end_tokens(config)
    config.eos_token_id = known if end in known else [end, *known]


def check_ends(model: str, revision: str | None, end: int, name: str, text: str) -> None:
    """Raise UserError unless `model` stops at the token `end`: an adapter generates as its base does.

    `name` is the model and `text` the token as the user knows them.
    """
    known = end_tokens(generation_config(model, revision))
    if end not in known:
        raise UserError(
            f"{name} does not stop at {text} (token {end}), which ends the answers of its chat template, and an "
            f"adapter stops where its base does: add --merge for a model that stops, or put "
            f'"eos_token_id": {[end, *known]} into generation_config.json in the directory of the base model.'
        )
