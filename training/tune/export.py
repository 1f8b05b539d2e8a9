"""From a checkpoint to a model that `from_pretrained` loads: adapter or complete model, and the two merged."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from grading.safety.atomic import sync
from training.tune.checksums import mark_complete
from training.tune.ends import add_end, generation_config
from training.tune.prepare import Prepared

_ADAPTER = ("adapter_config.json", "adapter_model.safetensors")


def export_model(checkpoint: Path, prepared: Prepared, target: Path) -> None:
    """Write the trained weights of a checkpoint to `target`, with the tokenizer and chat template of its base.

    The model stops at the token with which its training ended answers. The directory appears complete or not
    at all.
    """
    from transformers import AutoModelForCausalLM

    with _draft_of(target, prepared) as draft:
        if prepared.recipe.method == "lora":
            draft.mkdir()
            for name in _ADAPTER:
                shutil.copy(checkpoint / name, draft / name)
            config = generation_config(prepared.base.model, prepared.base.revision)
            add_end(config, prepared.end)
            config.save_pretrained(draft)
        else:
            model = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=prepared.recipe.dtype)
            add_end(model.generation_config, prepared.end)
            model.save_pretrained(draft)


def merge(adapter: Path, prepared: Prepared, target: Path) -> None:
    """Write the base model with the adapter's changes in its weights to `target`."""
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = prepared.base
    with _draft_of(target, prepared) as draft:
        model = AutoModelForCausalLM.from_pretrained(
            base.model, revision=base.revision, dtype=prepared.recipe.dtype
        )
        merged = PeftModel.from_pretrained(model, adapter).merge_and_unload()
        add_end(merged.generation_config, prepared.end)
        merged.save_pretrained(draft)


@contextmanager
def _draft_of(target: Path, prepared: Prepared) -> Iterator[Path]:
    """The place of a model, which gets the tokenizer and replaces `target` at the end of the block."""
    from transformers import AutoTokenizer

    base, draft = prepared.base, target.with_name(f".{target.name}")
    shutil.rmtree(draft, ignore_errors=True)  # left by a process that was killed
    yield draft
    AutoTokenizer.from_pretrained(base.model, revision=base.revision).save_pretrained(draft)
    mark_complete(draft)
    shutil.rmtree(target, ignore_errors=True)
    draft.rename(target)
    sync(target.parent)
