"""A local model whose template begins the reasoning: through both turns, pinned sampling, and replies on disk."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from skillmix_tasks.harness.task_files import harness_folder
from tests import stand_ins
from tests.tiny_model import byte_tokenizer

pytestmark = pytest.mark.slow

THOUGHT, ANSWER = "The bees hum in my head. ", "Answer: The red bee hums over the wall."
TEMPLATE = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{{ '</s>' }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|><think>{% endif %}"
)


def write_chain_model(folder: Path, chain: list[str], template: str = TEMPLATE) -> None:
    """A model that says the next token of `chain` after each of them, whatever stood before."""
    import torch
    from transformers import GenerationConfig, LlamaConfig, LlamaForCausalLM

    tokenizer = byte_tokenizer(("<|user|>", "<|assistant|>"), template)
    tokenizer.add_tokens(["<think>", "</think>", THOUGHT, ANSWER])
    size = len(tokenizer)
    config = LlamaConfig(
        vocab_size=size,
        hidden_size=2 * size,
        intermediate_size=4,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=8192,
        tie_word_embeddings=False,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    model = LlamaForCausalLM(config)
    ids = [tokenizer.convert_tokens_to_ids(token) for token in chain]
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.zero_()
        model.model.embed_tokens.weight[:, :size] = torch.eye(size)
        for token, following in pairwise(ids):
            model.lm_head.weight[following, token] = 10.0
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    # A repetition penalty of its own would change the tokens: see whether the run's is sent.
    make: Any = GenerationConfig  # which is not typed
    own = make(
        do_sample=True,
        temperature=1.9,
        top_k=2,
        top_p=0.3,
        repetition_penalty=5.0,
        eos_token_id=config.eos_token_id,
    )
    own.save_pretrained(folder)


def answered(model: Any, folder: Path, settings: dict[str, Any]) -> Any:
    """lm-eval's results of one item that `model` answers, without a judge."""
    from lm_eval import simple_evaluate
    from lm_eval.tasks import TaskManager

    given = {"skillmix": settings, "pretrained": str(folder)}
    return simple_evaluate(
        model=model,
        tasks=["skillmix_k1"],
        task_manager=TaskManager(include_path=str(harness_folder()), include_defaults=False, metadata=given),
        limit=1,
        apply_chat_template=True,
        predict_only=True,
        gen_kwargs="max_gen_toks=16",
    )


def evaluate(
    folder: Path, home: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any
) -> tuple[Any, list[str], list[Any]]:
    """Results, the prompts that the model saw, and what its generations were called with."""
    from lm_eval.models.huggingface import HFLM

    prompts: list[str] = []
    called: list[Any] = []

    class Watched(HFLM):  # type: ignore[misc]
        def tok_batch_encode(self, strings: Any, *args: Any, **kwargs: Any) -> Any:
            prompts.extend(strings)
            return super().tok_batch_encode(strings, *args, **kwargs)

        def _model_generate(self, *args: Any, **kwargs: Any) -> Any:
            called.append(kwargs)
            return super()._model_generate(*args, **kwargs)

    monkeypatch.setenv("SKILLMIX_HOME", str(home))
    results = answered(Watched(pretrained=str(folder), batch_size=4, device="cpu"), folder, settings)
    return results, prompts, called


@pytest.fixture
def vllm() -> Iterator[Any]:
    """The stand-in for vLLM's package."""
    with stand_ins.used():
        yield importlib.import_module("vllm")


def test_a_vllm_model_gets_and_says_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vllm: Any):
    """lm-eval's own class for vLLM, on the stand-in for the package: see tests.stand_ins."""
    from lm_eval.models.vllm_causallms import VLLM

    folder = tmp_path / "model"
    write_chain_model(folder, ["<think>", THOUGHT, "</think>", ANSWER, "</s>"])
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    model = VLLM(pretrained=str(folder), batch_size=2, max_model_len=4000)
    results = answered(model, folder, {"reasoning_tokens": 10})
    for record in answers(results):
        assert record["answer"] == ANSWER.removeprefix("Answer: ")
        assert record["student"]["state"] == "answered"
        assert record["student"]["reasoning_tokens"] == 2
    assert len(vllm.LLM.asked) == 6
    for one in vllm.LLM.asked:
        assert (one.temperature, one.top_p, one.top_k, one.repetition_penalty) == (0.7, 1.0, -1, 1.0)
        assert (one.max_tokens, one.skip_special_tokens) == (26, False)
    assert sorted(one.seed for one in vllm.LLM.asked) == [0, 0, 1, 1, 2, 2]


def answers(results: Any) -> list[dict[str, Any]]:
    [sample] = results["samples"]["skillmix_k1"]
    return [json.loads(text) for text in sample["filtered_resps"]]


def test_reasoning_is_neither_graded_nor_shown_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    write_chain_model(tmp_path / "model", ["<think>", THOUGHT, "</think>", ANSWER, "</s>"])
    results, prompts, called = evaluate(tmp_path / "model", tmp_path / "home", monkeypatch, reasoning_tokens=10)
    for record in answers(results):
        assert record["answer"] == ANSWER.removeprefix("Answer: ")
        assert record["student"]["state"] == "answered"
        assert [text.strip() for text in record["student"]["reasoning"]] == [THOUGHT.strip()] * 2
        assert record["student"]["reasoning_tokens"] == 2
    assert len(prompts) == 6
    assert all(THOUGHT not in prompt for prompt in prompts)
    assert sum(ANSWER in prompt for prompt in prompts) == 3
    assert all(one["repetition_penalty"] == 1.0 and one["top_k"] == 0 and one["top_p"] == 1.0 for one in called)
    record = results["configs"]["skillmix_k1"]["metadata"]["skillmix"]
    assert record["answers"] == {
        "extractions": {},  # nothing was judged
        "states": {"answered": 3},
        "cut": 0,
        "reasoned": 3,
        "reasoning_tokens": 6,
    }
    assert record["sampling"]["temperature"] == 0.7
    assert record["sampling"]["reasoning_tokens"] == 10
    # The same once more: all is on disk.
    again, prompts, _ = evaluate(tmp_path / "model", tmp_path / "home", monkeypatch, reasoning_tokens=10)
    assert prompts == []
    assert answers(again) == answers(results)
    # Another limit is another run.
    _, prompts, _ = evaluate(tmp_path / "model", tmp_path / "home", monkeypatch, reasoning_tokens=9)
    assert len(prompts) == 6


def test_reasoning_without_end_is_no_answer_and_has_no_second_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    write_chain_model(tmp_path / "model", ["<think>", THOUGHT, THOUGHT])
    results, prompts, _ = evaluate(tmp_path / "model", tmp_path / "home", monkeypatch)
    assert {record["student"]["state"] for record in answers(results)} == {"cut_off"}
    assert len(prompts) == 3


def test_a_model_without_a_chat_template_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    from grading import UserError

    write_chain_model(tmp_path / "model", ["<think>", ANSWER])
    (tmp_path / "model" / "chat_template.jinja").unlink(missing_ok=True)
    config = tmp_path / "model" / "tokenizer_config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"chat_template": None}))
    with pytest.raises(UserError, match="has no chat template"):
        evaluate(tmp_path / "model", tmp_path / "home", monkeypatch)
