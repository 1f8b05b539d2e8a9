"""A tokenizer with a token for each byte: nothing is downloaded, and masks show to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def byte_tokenizer(markup: Sequence[str] = ()) -> PreTrainedTokenizerBase:
    """`markup` are further special tokens beside <s> and </s>."""
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    make: Any = PreTrainedTokenizerFast  # which is not typed
    tokenizer: PreTrainedTokenizerBase = make(tokenizer_object=plain, bos_token="<s>", eos_token="</s>")
    tokenizer.add_tokens(list(markup), special_tokens=True)
    return tokenizer
