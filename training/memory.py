"""The peak memory of a training, from the model's configuration: nothing is loaded, and no weight is made.

    weights      4 bytes for each trained weight; a frozen one takes those of the recipe's dtype, 0.53 in 4 bits
    gradients    4 bytes for each trained weight
    optimizer    8 bytes for each trained weight (Adam); 2 in 8 bits; next to nothing for Adafactor
    activations  what one micro batch keeps for its way back, with logits, loss and the weights cast to bfloat16

FSDP shards the first three over the GPUs; each then holds two complete blocks in bfloat16 for a moment.
Activations are found by a step of the model with fewer layers on tensors that have shapes and no content.
"""

from __future__ import annotations

import copy
import warnings
import weakref
from collections.abc import Iterable, Sequence
from contextlib import nullcontext
from dataclasses import asdict, dataclass
from typing import Any

import torch
from peft import get_peft_model
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedConfig, PreTrainedModel
from trl.trainer.utils import add_fused_lm_head

from grading import UserError
from skillmix_tasks.commands.embedded import embedded_config
from training.tune.distributed import accumulation
from training.tune.prepare import find_base
from training.tune.recipe import EMBEDDED, Recipe
from training.tune.sft import adapter_config

_OPTIMIZER = {
    "adamw_torch_fused": 8.0, "adamw_torch": 8.0, "adamw_8bit": 2.0, "paged_adamw_8bit": 2.0, "adafactor": 0.02,
}  # fmt: skip
_FOUR_BITS = 0.53  # with the scales of NF4's blocks
_FEW, _MORE = 2, 4  # layers, of which the memory of a layer is found
CONTEXT = 1.5e9  # bytes that CUDA and its libraries take of each GPU


@dataclass(frozen=True)
class Memory:
    """The bytes of one device at the peak, by what holds them; `parameters` are the model's."""

    parameters: int
    trained: int
    weights: float
    gradients: float
    optimizer: float
    activations: float

    @property
    def peak(self) -> float:
        return self.weights + self.gradients + self.optimizer + self.activations

    def record(self) -> dict[str, float]:
        return {name: round(value) for name, value in (asdict(self) | {"peak": self.peak}).items()}


def training_memory(recipe: Recipe, config: PreTrainedConfig, gpus: int) -> Memory:
    """The memory of each of `gpus` GPUs in a training by `recipe`; 0 is a CPU. UserError for an unknown model."""
    with warnings.catch_warnings(action="ignore", category=FutureWarning):  # of one library about another
        return _memory(recipe, config, gpus)


def _memory(recipe: Recipe, config: PreTrainedConfig, gpus: int) -> Memory:
    shards = max(1, gpus)
    layers: int = config.get_text_config().num_hidden_layers
    known = [layers] if layers <= _MORE else [_FEW, _MORE]

    def of_all(values: Sequence[float]) -> float:
        """What all layers have of what so many as are `known` have."""
        few, more = values[0], values[-1]
        return few + (more - few) / (_MORE - _FEW) * (layers - _FEW)

    models = [_empty(recipe, config, number) for number in known]
    total, trained = (
        round(of_all([_parameters(model, trained=only) for model in models])) for only in (False, True)
    )
    activations = max(0.0, of_all([_step(recipe, config, number, shards) for number in known]))
    if recipe.optimizer == "adamw_torch":  # it takes the root of the second moments of all weights at once
        activations = max(activations, 4.0 * trained / shards)
    if shards > 1:
        root = _parameters(_empty(recipe, config, 0))
        # Two complete blocks and the embeddings in bfloat16, and the gradients of a block in both dtypes.
        activations += (2 * 2 + 2 + 4) * (total - root) / layers + (2 + 2 + 4) * root
    # FSDP shards weights of one dtype only (training.tune.sft).
    frozen_bytes = 2.0 if recipe.dtype == "bfloat16" and shards == 1 else 4.0
    if recipe.four_bit:
        frozen_bytes = _FOUR_BITS
    return Memory(
        parameters=total,
        trained=trained,
        weights=((total - trained) * frozen_bytes + 4.0 * trained) / shards,
        gradients=4.0 * trained / shards,
        optimizer=_OPTIMIZER[recipe.optimizer] * trained / shards,
        activations=activations,
    )


def model_config(recipe: Recipe) -> PreTrainedConfig:
    """The configuration of the base model; UserError if it cannot be loaded."""
    if recipe.model == EMBEDDED:
        return embedded_config()
    base = find_base(recipe)
    config: PreTrainedConfig = AutoConfig.from_pretrained(base.model, revision=base.revision)
    return config


def _empty(recipe: Recipe, config: PreTrainedConfig, layers: int) -> PreTrainedModel:
    """The model with so many of its layers, and weights that have no content, as it is trained."""
    config = copy.deepcopy(config)
    text = config.get_text_config()
    text.num_hidden_layers = layers
    if getattr(text, "layer_types", None):
        text.layer_types = text.layer_types[:layers]
    with torch.device("meta"):
        try:
            model: Any = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
                config, attn_implementation=recipe.attention
            )
        except (ValueError, ImportError) as error:
            raise UserError(
                f"{recipe.model} is not a causal language model ({' '.join(str(error).split())})."
            ) from error
        adapter = adapter_config(recipe)
        adapted: Any = get_peft_model(model, adapter) if adapter and layers else model
        return adapted  # type: ignore[no-any-return]


def _parameters(model: PreTrainedModel, *, trained: bool = False) -> int:
    """The number of weights, or of those that are trained."""
    return sum(weight.numel() for weight in model.parameters() if weight.requires_grad or not trained)


def _step(recipe: Recipe, config: PreTrainedConfig, layers: int, shards: int) -> float:
    """The most bytes that a micro batch of the longest rows adds to weights and gradients, in a model of `layers`.

    Nothing is computed: the tensors have shapes and dtypes alone.
    """
    bf16 = recipe.dtype == "bfloat16"
    with FakeTensorMode(allow_non_fake_inputs=True):
        model: Any = _empty(recipe, config, layers)
        # As the trainer does, which never holds the logits of all tokens.
        add_fused_lm_head(
            model.get_base_model() if recipe.lora else model, outputs=("log_probs", "entropy", "is_top1")
        )
        _shape(model, low=torch.bfloat16 if bf16 else torch.float32, unsharded=shards == 1)
        model.train()
        if recipe.activation_checkpointing:
            model.activation_checkpointing_enable()
            if recipe.lora is not None:  # as the trainer does
                model.enable_input_require_grads()
        tokens = torch.zeros((recipe.micro_batch, recipe.max_length), dtype=torch.long)
        grads = sum(
            weight.numel() * weight.element_size() for weight in model.parameters() if weight.requires_grad
        )
        live = _Live([*model.parameters(), *model.buffers()])
        # With several micro batches in a step, the gradients of the first are there when the others are taken.
        several = accumulation(recipe.global_batch, recipe.micro_batch, shards) > 1
        with live:
            for _ in range(1 + several):
                live.peak = live.bytes
                with torch.autocast("cpu", torch.bfloat16) if bf16 else nullcontext():
                    made = model(
                        input_ids=tokens, attention_mask=torch.ones_like(tokens), labels=tokens, fused_lm_head=True
                    )
                    loss = -made.log_probs.sum()
                loss.backward()
                del made, loss
    return float(live.peak - grads)


def _shape(model: torch.nn.Module, low: torch.dtype, *, unsharded: bool) -> None:
    """Give `model` tensors of this machine that have a shape alone.

    Trained weights are float32 if each device holds all of them, and all others `low`.
    """
    made: dict[torch.nn.Parameter, torch.nn.Parameter] = {}  # a weight may have two names
    for module in model.modules():
        for name, weight in list(module.named_parameters(recurse=False, remove_duplicate=False)):
            if weight not in made:
                dtype = torch.float32 if weight.requires_grad and unsharded else low
                fake = torch.empty(weight.shape, dtype=dtype)
                made[weight] = torch.nn.Parameter(fake, requires_grad=weight.requires_grad)
            setattr(module, name, made[weight])
        for name, buffer in list(module.named_buffers(recurse=False)):
            setattr(module, name, torch.zeros(buffer.shape, dtype=buffer.dtype))


class _Live(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors made in it that are alive, and the most at once.

    Views of the `others` are not made in it.
    """

    def __init__(self, others: Iterable[torch.Tensor]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.bytes = self.peak = 0
        self._known = {id(tensor.untyped_storage()) for tensor in others}  # one object for each storage

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        made = func(*args, **(kwargs or {}))
        for tensor in tree_leaves(made):
            if isinstance(tensor, torch.Tensor):
                self._note(tensor.untyped_storage())
        return made

    def _note(self, storage: torch.UntypedStorage) -> None:
        place, size = id(storage), storage.nbytes()
        if place in self._known:
            return
        self._known.add(place)
        self.bytes += size
        self.peak = max(self.peak, self.bytes)
        weakref.finalize(storage, self._forget, place, size)

    def _forget(self, place: int, size: int) -> None:
        self._known.discard(place)
        self.bytes -= size
