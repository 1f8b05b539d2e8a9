"""TRL's SFTTrainer as TRL documents it, with a recipe's settings: what `skillmix train` is measured by.

    python -m benchmarks.plain_trl RECIPE.yaml DATA OUT

Prints a line of JSON: for each step its useful tokens, and its seconds since the one before; not for the first.
"""

# ruff: noqa: ARG002 - the trainer hands all of its state to every method

from __future__ import annotations

import json
import sys
import time
from itertools import pairwise
from typing import Any

import torch
from datasets import load_dataset
from peft import LoraConfig
from transformers import (
    AutoModelForCausalLM,
    AutoTokenizer,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from training.tune.marking import marked_template
from training.tune.recipe import load_recipe


class _Clock(TrainerCallback):
    """The time of each log line, and the tokens so far."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, int]] = []

    def on_log(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any) -> None:
        """Note a step."""
        logs = kwargs["logs"]
        if "loss" in logs:
            self.seen.append((time.perf_counter(), int(logs["num_tokens"])))


def main() -> None:
    """Train, and print what it took."""
    path, data, out = sys.argv[1:]
    recipe = load_recipe(path)
    tokenizer = AutoTokenizer.from_pretrained(recipe.model)
    tokenizer.chat_template = marked_template(tokenizer)
    gpu = torch.cuda.is_available()
    dtype = torch.float32 if recipe.method == "full" else getattr(torch, recipe.dtype)
    adapter = None
    if lora := recipe.lora:
        adapter = LoraConfig(
            r=lora.r,
            lora_alpha=lora.alpha,
            lora_dropout=lora.dropout,
            target_modules=str(lora.targets),
            task_type="CAUSAL_LM",
        )
    clock = _Clock()
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(
            recipe.model, dtype=dtype, attn_implementation=recipe.attention
        ),
        args=SFTConfig(
            output_dir=out,
            max_steps=recipe.steps or -1,
            per_device_train_batch_size=recipe.micro_batch,
            gradient_accumulation_steps=recipe.global_batch // recipe.micro_batch,
            learning_rate=recipe.learning_rate,
            lr_scheduler_type="constant",
            optim=recipe.optimizer,
            max_length=recipe.max_length,
            assistant_only_loss=True,
            packing=recipe.packing,
            bf16=recipe.dtype == "bfloat16",
            activation_checkpointing=recipe.activation_checkpointing,
            torch_compile=recipe.compile,
            seed=recipe.seed,
            data_seed=recipe.seed,
            logging_steps=1,
            save_strategy="no",
            report_to="none",
            disable_tqdm=True,
            use_cpu=not gpu,
            dataloader_pin_memory=gpu,
        ),
        train_dataset=load_dataset(data, split="train").select_columns(["messages"]),
        processing_class=tokenizer,
        callbacks=[clock],
        peft_config=adapter,
    )
    trainer.train()
    steps = [(after[0] - before[0], after[1] - before[1]) for before, after in pairwise(clock.seen)]
    seconds, tokens = zip(*steps, strict=True)
    sys.stdout.write(json.dumps({"tokens": tokens, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main()
