"""How much of a GPU's arithmetic a run uses: model FLOPs utilisation."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import torch

# Dense bfloat16 with tensor cores, in FLOP/s, from the vendor's data sheets. The first name that fits counts.
_PEAK: Final = {
    "B200": 2250e12,
    "H200": 989e12,
    "GH200": 989e12,
    "H100 PCIe": 756e12,
    "H100 NVL": 835e12,
    "H100": 989e12,
    "A100": 312e12,
    "L40S": 362e12,
    "L4": 121e12,
    "A10G": 70e12,
    "A10": 125e12,
    "RTX 4090": 165e12,
}


def peak_flops(device: str) -> float | None:
    """The peak of one GPU of that name; None if it is not known."""
    return next((peak for name, peak in _PEAK.items() if re.search(rf"\b{re.escape(name)}\b", device)), None)


def flops_per_token(model: torch.nn.Module) -> float:
    """Floating-point operations that training needs for a token, without attention's part that grows with length.

    Two for each weight forward, two backward, and two more for each that is trained. Input embeddings, which are
    looked up, do not count; what activation checkpointing calculates anew does not count either.
    """
    looked_up = model.get_input_embeddings().weight  # type: ignore[operator]
    shared = any(
        name.endswith("lm_head.weight") and weight is looked_up
        for name, weight in model.named_parameters(remove_duplicate=False)
    )
    total = 0.0
    for weight in model.parameters():
        if weight is not looked_up or shared:
            # A 4-bit weight holds two in each element of its storage.
            size = weight.numel() * (2 if weight.__class__.__name__ == "Params4bit" else 1)
            total += size * (6 if weight.requires_grad else 4)
    return total
