"""Marked chat templates: the same text, and the loss on answers and their end tokens alone."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from grading import UserError
from tests.tiny_model import byte_tokenizer
from training.tune.marking import marked_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

USER1, ANSWER1 = "Write about knots.", "Answer: A knot holds.\nExplanation: it does."
USER2, ANSWER2 = "Make it shorter.", "Answer: It holds."
CHAT = [
    {"role": "user", "content": USER1},
    {"role": "assistant", "content": ANSWER1},
    {"role": "user", "content": USER2},
    {"role": "assistant", "content": ANSWER2},
]
MARKUP = (
    *("<|im_start|>", "<|im_end|>", "<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>"),
    *("<start_of_turn>", "<end_of_turn>"),
)

LLAMA_2 = """{% if messages[0].role == 'system' %}
{% set rest = messages[1:] %}{% set told = '<<SYS>>\\n' ~ messages[0].content ~ '\\n<</SYS>>\\n\\n' %}
{% else %}{% set rest = messages %}{% set told = '' %}{% endif %}
{%- for message in rest %}
{% if (message.role == 'user') != (loop.index0 is even) %}{{ raise_exception('Take turns.') }}{% endif %}
{%- set said = (told if loop.first else '') ~ message.content %}
{%- if message.role == 'user' %}{{ bos_token ~ '[INST] ' ~ said.strip() ~ ' [/INST]' }}
{%- else %}{{ ' ' ~ said.strip() ~ ' ' ~ eos_token }}{% endif %}
{%- endfor %}"""
MISTRAL_1 = """{{ bos_token }}{% for message in messages %}
{%- if message['role'] == 'user' %}{{ '[INST] ' + message['content'] + ' [/INST]' }}
{%- elif message['role'] == 'assistant' %}{{ message['content'] + eos_token + ' ' }}
{%- else %}{{ raise_exception('No such role.') }}{% endif %}{% endfor %}
"""
# As version 3 does, the system prompt goes into the last of the user's turns: no text is the beginning of another.
MISTRAL_3 = """{%- if messages[0]['role'] == 'system' %}
    {%- set told, rest = messages[0]['content'], messages[1:] %}
{%- else %}
    {%- set rest = messages %}
{%- endif %}
{{- bos_token }}
{%- for message in rest %}
    {%- if message['role'] == 'user' %}
        {%- set last = loop.index0 >= rest|length - 2 %}
        {{- '[INST] ' + (told + '\\n\\n' if told is defined and last else '') + message['content'] + '[/INST]' }}
    {%- else %}
        {{- ' ' + message['content']|trim + eos_token }}
    {%- endif %}
{%- endfor %}
"""
CHATML = """{%- macro line(role, text) %}<|im_start|>{{ role }}
{{ text }}<|im_end|>
{% endmacro %}
{%- if messages[0].role != 'system' %}{{ line('system', 'Help.') }}{% endif %}
{%- for message in messages %}{{ line(message.role, message.content) }}{% endfor %}
{%- if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}"""
LLAMA_3 = """{% for message in messages %}
{%- set head = '<|start_header_id|>' ~ message.role ~ '<|end_header_id|>\\n\\n' %}
{%- set piece = head ~ message['content'] | trim ~ '<|eot_id|>' %}
{%- if loop.first %}{% set piece = bos_token ~ piece %}{% endif %}
{{- piece }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<|start_header_id|>assistant<|end_header_id|>\\n\\n' }}{% endif %}"""
GEMMA = """{{ bos_token }}
{%- if messages[0]['role'] == 'system' %}{{ raise_exception('No system prompt here.') }}{% endif %}
{%- for message in messages %}
    {%- set name = {'user': 'user', 'assistant': 'model'}[message['role']] %}
    {{- '<start_of_turn>' + name + '\\n' }}
    {%- if message['content'] is string %}{{ message['content'] | trim }}
    {%- else %}{% for part in message['content'] %}{{ part['text'] }}{% endfor %}{% endif %}
    {{- '<end_of_turn>\\n' }}
{%- endfor %}
{%- if add_generation_prompt %}{{ '<start_of_turn>model\\n' }}{% endif %}"""
# Thoughts before the last answer alone, as in templates of models that reason.
THINKING = CHATML.replace(
    "message.content)",
    "('<think>\\n\\n</think>\\n\\n' if loop.last and message.role == 'assistant' else '') ~ message.content)",
)


@pytest.fixture
def tokenizer() -> PreTrainedTokenizerBase:
    return byte_tokenizer(MARKUP, template=None)


def learned(tokenizer: PreTrainedTokenizerBase, template: str, chat: list[dict[str, str]]) -> list[str]:
    """The texts of the runs of tokens that carry the loss."""
    encoded: Any = tokenizer.apply_chat_template(
        chat, chat_template=template, return_dict=True, return_assistant_tokens_mask=True
    )
    texts: list[list[int]] = []
    before = 0
    for token, kept in zip(encoded["input_ids"], encoded["assistant_masks"], strict=True):
        if kept and not before:
            texts.append([])
        if kept:
            texts[-1].append(token)
        before = kept
    return [str(tokenizer.decode(text)) for text in texts]


@pytest.mark.parametrize(
    ("template", "before", "after"),
    [
        pytest.param(LLAMA_2, " ", " </s>", id="llama-2"),
        pytest.param(MISTRAL_1, "", "</s>", id="mistral-1"),
        pytest.param(MISTRAL_3, " ", "</s>", id="mistral-3"),
        pytest.param(CHATML, "", "<|im_end|>", id="chatml"),
        pytest.param(LLAMA_3, "", "<|eot_id|>", id="llama-3"),
        pytest.param(GEMMA, "", "<end_of_turn>", id="gemma"),
        pytest.param(THINKING, "", "<|im_end|>", id="thinking"),
    ],
)
def test_families(tokenizer: PreTrainedTokenizerBase, template: str, before: str, after: str):
    tokenizer.chat_template = template
    marked = marked_template(tokenizer)
    expected = [before + answer + after for answer in (ANSWER1, ANSWER2)]
    assert learned(tokenizer, marked, CHAT) == expected
    assert learned(tokenizer, marked, CHAT[:2]) == expected[:1]
    if template not in (MISTRAL_1, GEMMA):  # which refuse a system prompt
        told = [{"role": "system", "content": "Be brief."}, *CHAT]
        assert learned(tokenizer, marked, told) == expected
        assert same_text(tokenizer, marked, told)
    assert same_text(tokenizer, marked, CHAT)


def same_text(tokenizer: PreTrainedTokenizerBase, marked: str, chat: list[dict[str, str]]) -> bool:
    plain, again = (
        [
            tokenizer.apply_chat_template(
                chat[:number], chat_template=template, tokenize=False, add_generation_prompt=prompted
            )
            for number in range(2, len(chat) + 1)
            for prompted in (False, True)
        ]
        for template in (None, marked)
    )
    return plain == again


def test_an_answer_that_stands_in_the_prompt_and_in_the_other_answer(tokenizer: PreTrainedTokenizerBase):
    tokenizer.chat_template = LLAMA_3
    texts = ("Say A or user.", "A", "Say A again.", "  A\n")
    chat = [turn | {"content": text} for turn, text in zip(CHAT, texts, strict=True)]
    assert learned(tokenizer, marked_template(tokenizer), chat) == ["A<|eot_id|>", "A<|eot_id|>"]


def test_the_genuine_mistral_tokenizer():
    from sentencepiece import SentencePieceProcessor
    from transformers import LlamaTokenizer

    pieces = SentencePieceProcessor(str(files("mistral_common") / "data" / "tokenizer.model.v1"))
    vocabulary = {pieces.id_to_piece(number): number for number in range(len(pieces))}
    # SentencePiece joins two pieces to the one with the highest score first.
    merges = [
        (piece[:cut], piece[cut:])
        for piece in sorted(vocabulary, key=lambda piece: pieces.get_score(vocabulary[piece]), reverse=True)
        for cut in range(len(piece) - 1, 0, -1)
        if piece[:cut] in vocabulary and piece[cut:] in vocabulary
    ]
    tokenizer = LlamaTokenizer(vocab=vocabulary, merges=merges)
    tokenizer.chat_template = MISTRAL_3
    encoded: Any = tokenizer.apply_chat_template(
        CHAT,
        chat_template=marked_template(tokenizer),
        return_dict=True,
        return_assistant_tokens_mask=True,
    )
    ids, mask = encoded["input_ids"], encoded["assistant_masks"]
    expected: list[tuple[list[int], int]] = [
        ([pieces.bos_id()], 0),
        (pieces.encode("[INST] " + USER1 + "[/INST]")[1:], 0),
        ([*pieces.encode(ANSWER1), pieces.eos_id()], 1),
        (pieces.encode("[INST] " + USER2 + "[/INST]")[1:], 0),
        ([*pieces.encode(ANSWER2), pieces.eos_id()], 1),
    ]
    bracket = vocabulary["["]  # SentencePiece alone writes it with a space at a text's beginning
    expected[1][0].insert(0, bracket)
    expected[3][0].insert(0, bracket)
    assert ids == [token for tokens, _ in expected for token in tokens]
    assert mask == [kept for tokens, kept in expected for _ in tokens]


def test_the_embedded_model(embedded_model: Path):
    from transformers import PreTrainedTokenizerFast  # AutoTokenizer would import torch, for many seconds

    tokenizer = PreTrainedTokenizerFast.from_pretrained(str(embedded_model))
    assert learned(tokenizer, marked_template(tokenizer), CHAT) == [
        f"{ANSWER1}<|im_end|>",
        f"{ANSWER2}<|im_end|>",
    ]


def test_a_template_that_is_marked_is_kept(tokenizer: PreTrainedTokenizerBase):
    own = """{% for message in messages %}{{ '<|im_start|>' + message.role + '\\n' }}
{%- if message.role == 'assistant' %}{%- generation %}{{ message.content + '<|im_end|>' }}{% endgeneration %}
{%- else %}{{ message.content + '<|im_end|>' }}{% endif %}{% endfor %}"""
    tokenizer.chat_template = own
    assert marked_template(tokenizer) == own
    tokenizer.chat_template = own.replace("== 'assistant'", "!= 'assistant'")
    assert "do not fall on its answers' tokens" in refusal(tokenizer)


PLAIN = "{% for message in messages %}{{ message.role + ': ' + message.content + '\\n' }}{% endfor %}"


@pytest.mark.parametrize(
    ("template", "sentence"),
    [
        (None, "has no chat template: train a chat model, or put one with {% generation %}"),
        (PLAIN + "{% if add_generation_prompt %}assistant: {% endif %}", "puts no end token after each answer"),
        (PLAIN.replace("'\\n'", "('</s>' if loop.last else '')"), "does not put an answer where its"),
        (CHATML.replace("text }}", "text | upper }}"), "does not put an answer where its generation prompt ends"),
        (CHATML.replace("assistant\\n", "assistant\\n<think>"), "does not put an answer where its generation"),
        ("{{ raise_exception('One turn only.') }}", "cannot write two turns (One turn only.)"),
        ("{% for message in messages %}", "cannot write two turns (Unexpected end of template."),
    ],
)
def test_templates_that_cannot_be_marked(tokenizer: PreTrainedTokenizerBase, template: str | None, sentence: str):
    tokenizer.chat_template = template
    assert sentence in refusal(tokenizer)


def refusal(tokenizer: PreTrainedTokenizerBase) -> str:
    with pytest.raises(UserError) as refused:
        marked_template(tokenizer)
    assert "\n" not in str(refused.value)
    assert "chat_template.jinja in the model's directory" in str(refused.value)
    return str(refused.value)
