"""The tokenizer of a model, as transformers reads it."""

from typing import Any


def get_tokenizer(name: str, *, revision: str | None, trust_remote_code: bool, **_: Any) -> Any:
    """The tokenizer of the model `name`."""
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(name, revision=revision, trust_remote_code=trust_remote_code)
