"""A model of some thousand random weights whose tokens are bytes: no download, and masks show to the letter."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from transformers import LlamaForCausalLM, PreTrainedTokenizerBase

CHAT = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}"
    "{{ eos_token if message.role == 'assistant' else '\n' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)


def byte_tokenizer(
    markup: Sequence[str] = ("<|user|>", "<|assistant|>"), template: str | None = CHAT
) -> PreTrainedTokenizerBase:
    """`markup` are further special tokens beside <s> and </s>.

    A token for each byte saves time, too: that of the trainer's loss on a CPU goes by the size of the vocabulary.
    """
    from tokenizers import Tokenizer, decoders, pre_tokenizers
    from tokenizers.models import BPE
    from transformers import PreTrainedTokenizerFast

    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    plain = Tokenizer(BPE(vocab={letter: number for number, letter in enumerate(letters)}, merges=[]))
    plain.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    plain.decoder = decoders.ByteLevel()
    make: Any = PreTrainedTokenizerFast  # which is not typed
    tokenizer: PreTrainedTokenizerBase = make(
        tokenizer_object=plain, bos_token="<s>", eos_token="</s>", chat_template=template
    )
    tokenizer.add_tokens(list(markup), special_tokens=True)
    return tokenizer


def write_tiny_model(
    folder: Path,
    tokenizer: PreTrainedTokenizerBase | None = None,
    *,
    layers: int = 2,
    size: int = 32,
    vocabulary: int | None = None,
) -> LlamaForCausalLM:
    """A Llama of few layers and its tokenizer in `folder`, as from_pretrained loads them."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = tokenizer or byte_tokenizer()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=vocabulary or len(tokenizer),
        hidden_size=size,
        intermediate_size=2 * size,
        num_hidden_layers=layers,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=True,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model
