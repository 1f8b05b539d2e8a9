"""As much of vLLM's interface as lm-eval's class for it calls, with transformers on a CPU behind it.

vLLM itself needs CUDA. What this takes and gives follows its documentation, so a wrong name of an argument fails
here, too; what vLLM then does is not tested.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, ClassVar, TypedDict


class TokensPrompt(TypedDict):
    """A prompt as tokens."""

    prompt_token_ids: list[int]


@dataclass
class SamplingParams:
    """The parameters of vLLM's class of this name that an evaluation may use."""

    n: int = 1
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    repetition_penalty: float = 1.0
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = -1
    min_p: float = 0.0
    seed: int | None = None
    stop: list[str] = field(default_factory=list)
    stop_token_ids: list[int] = field(default_factory=list)
    ignore_eos: bool = False
    max_tokens: int | None = 16
    min_tokens: int = 0
    logprobs: int | None = None
    prompt_logprobs: int | None = None
    detokenize: bool = True
    skip_special_tokens: bool = True
    spaces_between_special_tokens: bool = True


class LLM:
    """A model that answers greedily; `asked` are the parameters of all requests."""

    asked: ClassVar[list[SamplingParams]] = []

    def __init__(self, model: str, max_model_len: int | None = None, seed: int = 0, **_: Any) -> None:
        from transformers import AutoModelForCausalLM, AutoTokenizer

        self._model = AutoModelForCausalLM.from_pretrained(model)
        self._tokenizer = AutoTokenizer.from_pretrained(model)
        self.llm_engine = SimpleNamespace(model_config=SimpleNamespace(max_model_len=max_model_len or 4096))

    def generate(
        self, prompts: list[TokensPrompt], sampling_params: list[SamplingParams], **_: Any
    ) -> list[SimpleNamespace]:
        """The output for each prompt."""
        LLM.asked.extend(sampling_params)
        return [self._output(*pair) for pair in zip(prompts, sampling_params, strict=True)]

    def _output(self, prompt: TokensPrompt, params: SamplingParams) -> SimpleNamespace:
        import torch

        ids = torch.tensor([prompt["prompt_token_ids"]])
        found = self._model.generate(
            ids, attention_mask=torch.ones_like(ids), do_sample=False, max_new_tokens=params.max_tokens
        )
        tokens = found[0, ids.shape[1] :].tolist()
        stopped = bool(tokens) and tokens[-1] == self._tokenizer.eos_token_id
        kept = tokens[:-1] if stopped else tokens  # vLLM leaves the end token out of the text
        text = self._tokenizer.decode(kept, skip_special_tokens=params.skip_special_tokens)
        reason = "stop" if stopped else "length"
        return SimpleNamespace(outputs=[SimpleNamespace(text=text, token_ids=tokens, finish_reason=reason)])
