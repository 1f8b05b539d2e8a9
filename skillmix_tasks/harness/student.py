"""The student is lm-eval's model: who it is, and how it is asked for the second turn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM

from grading.keys import redact
from grading.models.fingerprint import weights_fingerprint
from grading.safety.bounds import cut
from grading.safety.text import encodable


def student_identity(lm: LM | None, model_args: dict[str, Any]) -> dict[str, Any]:
    """What tells this student from another: its class, its name, and its weights where they lie on this disk.

    Only the names are taken from `model_args`, which may hold addresses, headers and tokens.
    """
    # A model that was handed over as an object knows its own name, if anybody does.
    own = getattr(getattr(lm, "config", None), "_name_or_path", None)
    name = redact(str(model_args.get("pretrained") or model_args.get("model") or own or "unknown"))
    identity: dict[str, Any] = {"class": type(lm).__name__ if lm else None, "model": name}
    if own or "pretrained" in model_args:
        identity["weights"] = weights_fingerprint(name, model_args.get("revision"))
    for key in ("revision", "peft", "gguf_file"):
        if model_args.get(key):
            identity[key] = str(model_args[key])
    if identity.get("peft"):
        identity["peft_weights"] = weights_fingerprint(identity["peft"])
    return identity


def takes_seed(lm: LM | None, model_args: dict[str, Any]) -> bool:
    """Whether a generation's own seed can be sent: to servers in OpenAI's dialect and to vLLM.

    transformers refuses it, and so do some other servers' dialects.
    """
    if lm is None:  # without a chat template a task does not meet its model; servers go by `model`
        return "base_url" in model_args or ("model" in model_args and "pretrained" not in model_args)
    from lm_eval.models.openai_completions import LocalCompletionsAPI

    name = type(lm).__name__
    return (isinstance(lm, LocalCompletionsAPI) and "Anthropic" not in name) or name == "VLLM"


def generate(lm: LM, requests: Sequence[Instance]) -> list[str]:
    """The replies to `requests`, in their order.

    As lm-eval does for the first turn, ranks with fewer requests repeat their last one, for sharded models
    must make equally many forward passes.
    """
    padded = list(requests)
    if lm.world_size > 1:
        import torch

        counts = lm.all_gather(torch.tensor(len(padded), device=lm.device)).cpu().flatten().tolist()
        padded += [padded[-1]] * (max(counts) - len(padded))
    replies = lm.generate_until(padded)
    if lm.world_size > 1:
        lm.barrier()
    return list(replies[: len(requests)])


def stored_text(reply: str | None) -> str:
    """A student's reply as it is stored and judged: without keys, and cut with a mark if it is too long."""
    return "" if reply is None else cut(redact(encodable(reply)))
