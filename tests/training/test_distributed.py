"""What can run here, and how fast a GPU could be."""

from __future__ import annotations

import pytest
import torch

from grading import UserError
from training.tune.distributed import check_devices
from training.tune.tracking import peak_flops


def test_one_process_takes_no_more_than_one_gpu(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)  # a machine that is not at hand
    with pytest.raises(UserError, match=r"4 GPUs are visible to one process: .*CUDA_VISIBLE_DEVICES=0"):
        check_devices(four_bit=False)
    monkeypatch.setenv("WORLD_SIZE", "4")
    check_devices(four_bit=False)


@pytest.mark.parametrize(
    ("device", "tera"),
    [
        ("NVIDIA H100 80GB HBM3", 989),
        ("NVIDIA H100 PCIe", 756),
        ("NVIDIA GH200 480GB", 989),
        ("NVIDIA A100-SXM4-80GB", 312),
        ("NVIDIA L4", 121),
        ("NVIDIA L40", None),
        ("NVIDIA RTX A1000", None),
    ],
)
def test_a_gpu_is_known_by_its_whole_name(device: str, tera: int | None):
    assert peak_flops(device) == (tera and tera * 1e12)
