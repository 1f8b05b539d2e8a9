"""From a checkpoint to a model that `from_pretrained` loads: adapter or complete model, and the two merged."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

from grading.safety.atomic import sync
from training.tune.checksums import mark_complete
from training.tune.ends import add_end, generation_config
from training.tune.prepare import Prepared
from training.tune.recipe import Recipe

_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


def export_model(checkpoint: Path, recipe: Recipe, prepared: Prepared, target: Path) -> None:
    """Write the trained weights of a checkpoint to `target`, with the tokenizer and chat template of its base.

    The model stops at the token with which its training ended answers. The directory appears complete or not
    at all.
    """

    def write(draft: Path) -> None:
        if recipe.method == "lora":
            draft.mkdir()
            for name in _ADAPTER:
                shutil.copy(checkpoint / name, draft / name)
            config = generation_config(prepared.base.model, prepared.base.revision)
            add_end(config, prepared.end)
            config.save_pretrained(draft)
            return
        import torch
        from transformers import AutoModelForCausalLM

        dtype: torch.dtype = getattr(torch, recipe.dtype)
        model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=dtype)
        add_end(model.generation_config, prepared.end)
        model.save_pretrained(draft)

    _make(target, prepared, write)


def merge(adapter: Path, recipe: Recipe, prepared: Prepared, target: Path) -> None:
    """Write the base model with the adapter's changes in its weights to `target`."""

    def write(draft: Path) -> None:
        import torch
        from peft import PeftModel
        from transformers import AutoModelForCausalLM

        base = prepared.base
        dtype: torch.dtype = getattr(torch, recipe.dtype)
        model = AutoModelForCausalLM.from_pretrained(base.model, revision=base.revision, dtype=dtype)
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        add_end(merged.generation_config, prepared.end)
        merged.save_pretrained(draft)

    _make(target, prepared, write)


def _make(target: Path, prepared: Prepared, write: Callable[[Path], None]) -> None:
    from transformers import AutoTokenizer

    base, draft = prepared.base, target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    write(draft)
    AutoTokenizer.from_pretrained(base.model, revision=base.revision).save_pretrained(draft)
    mark_complete(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    sync(target.parent)
