"""The one place that knows TRL: a recipe's settings as its own, and a trainer that counts and writes no card."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.utils.error import NoMatchingPeftModuleError
from safetensors import SafetensorError
from transformers import (
    AutoModelForCausalLM,
    BitsAndBytesConfig,
    EarlyStoppingCallback,
    PreTrainedModel,
    PrinterCallback,
)
from trl.trainer.sft_config import SFTConfig
from trl.trainer.sft_trainer import SFTTrainer

from grading import UserError
from training.tune.distributed import accumulation, check_running, launch_mode, world_size
from training.tune.prepare import Prepared
from training.tune.recipe import Recipe
from training.tune.resume import stoppable
from training.tune.tracking import Totals, Tracker, flops_per_token

_SCHEDULES = {"constant": "constant_with_warmup", "linear": "linear", "cosine": "cosine"}


class _Trainer(SFTTrainer):
    """Counts tokens, and writes no thin model card: cards are made when a run is pushed.

    TRL's own count begins anew with each process, and leaves tokens out at an epoch's end on several.
    """

    totals: Totals

    def get_batch_samples(
        self, epoch_iterator: Iterator[Any], num_batches: int, device: torch.device
    ) -> tuple[list[Any], Any]:
        """The batches of one step, counted, and how many of their tokens carry loss on all devices."""
        batches, items = super().get_batch_samples(epoch_iterator, num_batches, device)
        # A padding-free batch, as of packed rows, has no mask: all of it is useful.
        own = sum(
            int(batch["attention_mask"].sum()) if "attention_mask" in batch else batch["input_ids"].numel()
            for batch in batches
        )
        self.totals.tokens += int(self.accelerator.reduce(torch.tensor(own, device=device)))
        assert items is not None  # rows have labels
        self.totals.trained_tokens += int(items)
        return batches, items

    def _save_checkpoint(self, *arguments: Any, **options: Any) -> None:
        """Save; UserError if the disk refuses, with complete checkpoints kept."""
        try:
            super()._save_checkpoint(*arguments, **options)  # type: ignore[no-untyped-call]
        except torch.OutOfMemoryError:
            raise
        except (OSError, SafetensorError, RuntimeError) as error:  # the last one is torch's own writer's
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise UserError(
                f"The checkpoint of step {self.state.global_step} cannot be written ({reason}): free space, then "
                "run the same command again. It resumes from the last complete checkpoint."
            ) from error

    def create_model_card(self, *_: Any, **__: Any) -> None:
        """Write none."""


def fit(prepared: Prepared, out: Path, start: Path | None, totals: Totals) -> None:
    """Train from the checkpoint `start`, or from the beginning, to the recipe's end.

    Checkpoints go to `out`/checkpoints, a line for each step to `out`/log.jsonl. `totals` are those of the steps
    up to `start`, and continue. Raises UserError if a signal stopped it, with a checkpoint; if the trainer does
    not run as the launcher requested; or if the loss is not a number.
    """
    recipe = prepared.recipe
    config = _config(prepared, out / "checkpoints")
    patience = recipe.early_stopping
    model = _load(prepared)
    try:
        trainer = _Trainer(
            model=model,
            args=config,
            train_dataset=prepared.train,
            eval_dataset=prepared.validation,
            processing_class=prepared.tokenizer,
            callbacks=[EarlyStoppingCallback(patience)] if patience else None,
            peft_config=adapter_config(recipe, prepared.base.revision),
        )
    except NoMatchingPeftModuleError as error:
        raise UserError(
            f"lora.targets matches no layer of the model {recipe.model}: name its layers, as "
            "--set 'lora.targets=[q_proj, v_proj]', or all-linear."
        ) from error
    running = trainer.accelerator
    check_running(
        running.distributed_type.value,
        running.num_processes,
        precision=running.mixed_precision,
        dtype=recipe.dtype,
    )
    if recipe.four_bit:
        for weight in model.parameters():  # the adapter's too, which peft puts into it
            if weight.requires_grad:  # TRL has made it bfloat16, which loses small steps
                weight.data = weight.data.float()
    trainer.totals = totals
    trainer.remove_callback(PrinterCallback)
    with stoppable() as stop:
        trainer.add_callback(Tracker(out / "log.jsonl", totals, stop, flops_per_token(model)))
        try:
            trainer.train(resume_from_checkpoint=str(start) if start else None)
        except torch.OutOfMemoryError as error:
            raise UserError(
                "The GPU ran out of memory: take a lower micro_batch or max_length, --set "
                "activation_checkpointing=true, or more GPUs. Saved checkpoints are kept."
            ) from error
    if stop.signal is not None:
        raise UserError(
            f"{signal.Signals(stop.signal).name} stopped the run after step {trainer.state.global_step}, which is "
            "saved: the same command resumes from there."
        )


def _config(prepared: Prepared, checkpoints: Path) -> SFTConfig:
    recipe = prepared.recipe
    gpu = torch.accelerator.is_available()
    validated = prepared.validation is not None
    return SFTConfig(
        output_dir=str(checkpoints),
        max_steps=recipe.steps or -1,
        num_train_epochs=recipe.epochs or 1,
        per_device_train_batch_size=recipe.micro_batch,
        per_device_eval_batch_size=recipe.micro_batch,
        gradient_accumulation_steps=accumulation(recipe.global_batch, recipe.micro_batch, world_size()),
        learning_rate=recipe.learning_rate,
        warmup_steps=recipe.warmup_steps,
        lr_scheduler_type=_SCHEDULES[recipe.schedule],
        optim=recipe.optimizer,
        weight_decay=recipe.weight_decay,
        max_grad_norm=recipe.max_grad_norm,
        bf16=recipe.dtype == "bfloat16",
        activation_checkpointing=recipe.activation_checkpointing,
        torch_compile=recipe.compile,
        # Rows arrive with labels and within the limit, so TRL has nothing to cut; a bin needs its size.
        max_length=recipe.max_length if recipe.packing else None,
        packing=recipe.packing,
        packing_strategy="bfd",
        eval_packing=False,
        seed=recipe.seed,
        data_seed=recipe.seed,
        logging_steps=1,
        logging_nan_inf_filter=False,  # which puts a mean in place of a loss that is not a number
        save_strategy="steps",
        save_steps=recipe.save_steps,
        # A new checkpoint is marked as complete after the oldest is removed: another complete one must be left by
        # then.
        save_total_limit=3 if recipe.early_stopping else 2,
        eval_strategy="steps" if validated else "no",
        eval_steps=recipe.save_steps if validated else None,
        metric_for_best_model="eval_loss" if validated else None,
        greater_is_better=False if validated else None,
        restore_callback_states_from_checkpoint=True,  # or the patience of early stopping begins anew
        report_to=list(recipe.report_to) or "none",
        disable_tqdm=True,
        use_cpu=not gpu,
        ddp_backend="gloo" if world_size() > 1 and not gpu else None,
        ddp_find_unused_parameters=False if world_size() > 1 else None,
        dataloader_pin_memory=gpu,
    )


def adapter_config(recipe: Recipe, revision: str | None = None) -> LoraConfig | None:
    """The adapter of a recipe, as peft makes it; None without one. `revision` is the base model's."""
    lora = recipe.lora
    if lora is None:
        return None
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        task_type="CAUSAL_LM",
        revision=revision,
    )


def _load(prepared: Prepared) -> PreTrainedModel:
    """The base model: frozen weights in the recipe's dtype, trained ones in float32."""
    recipe, base = prepared.recipe, prepared.base
    options: dict[str, Any] = {}
    if recipe.four_bit:
        options["quantization_config"] = BitsAndBytesConfig(  # type: ignore[no-untyped-call]
            load_in_4bit=True,
            bnb_4bit_quant_type="nf4",
            bnb_4bit_use_double_quant=True,
            bnb_4bit_compute_dtype=recipe.dtype,
        )
        options["device_map"] = {"": torch.accelerator.current_device_index()}
    # FSDP shards weights of one dtype only; its policy has the products in the recipe's.
    keeps_float32 = recipe.method == "full" or launch_mode() == "fsdp"
    try:
        model: PreTrainedModel = AutoModelForCausalLM.from_pretrained(
            base.model,
            revision=base.revision,
            dtype="float32" if keeps_float32 else recipe.dtype,
            attn_implementation=recipe.attention,
            **options,
        )
    except (OSError, ValueError, ImportError, SafetensorError) as error:
        reason = " ".join(str(error).split())
        raise UserError(f"The model {recipe.model} cannot be loaded ({reason}).") from error
    return model
