"""An lm-eval model of several ranks on CPU, for tests: torch.distributed with gloo, text by hash."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import torch
import torch.distributed
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from skillmix_tasks.harness.task_files import harness_folder
from tests.servers.student import student_text


class RankedModel(LM):  # type: ignore[misc]
    """What it says depends on the prompt, the item and the generation, not on the rank."""

    tokenizer_name = ""

    def __init__(self, rank: int, world_size: int) -> None:
        super().__init__()
        self._rank = rank
        self._world_size = world_size
        self._device = torch.device("cpu")
        self.asked = 0

    def apply_chat_template(self, chat_history: list[dict[str, str]], add_generation_prompt: bool = True) -> str:
        return json.dumps(chat_history)

    def generate_until(self, requests: list[Instance], disable_tqdm: bool = False) -> list[str]:
        # As a sharded model would: all ranks must come with equally many requests, or they wait for ever.
        counts = self.all_gather(torch.tensor(len(requests))).tolist()
        assert len(set(counts)) == 1, counts
        self.asked += len(requests)
        return [student_text([{"role": "user", "content": r.args[0]}], r.idx) for r in requests]

    def loglikelihood(self, requests: list[Instance]) -> Any:
        raise NotImplementedError

    def loglikelihood_rolling(self, requests: list[Instance]) -> Any:
        raise NotImplementedError

    def all_gather(self, tensor: torch.Tensor) -> torch.Tensor:
        if self._world_size == 1:
            return tensor.reshape(1)
        parts = [torch.zeros_like(tensor) for _ in range(self._world_size)]
        torch.distributed.all_gather(parts, tensor)
        return torch.stack(parts)

    def gather_object(self, obj: Any, dst: int = 0) -> list[Any] | None:
        gathered = [None] * self._world_size if self._rank == dst else None
        torch.distributed.gather_object(obj, gathered, dst=dst)
        return gathered

    def barrier(self) -> None:
        torch.distributed.barrier()


def run_rank(
    rank: int, world_size: int, port: int, output: Path, mode: str, limit: int, metadata: dict[str, Any]
) -> None:
    """One rank's part; `mode` is "chat" (two turns) or "plain" (one). Rank 0 writes the results to `output`."""
    try:
        _evaluate(RankedModel(rank, world_size), port, output, mode, limit, metadata)
    finally:
        if torch.distributed.is_initialized():  # else its threads may outlive the interpreter, and abort
            torch.distributed.destroy_process_group()


def _evaluate(
    model: RankedModel, port: int, output: Path, mode: str, limit: int, metadata: dict[str, Any]
) -> None:
    if model.world_size > 1:
        torch.distributed.init_process_group(
            "gloo", init_method=f"tcp://127.0.0.1:{port}", rank=model.rank, world_size=model.world_size
        )
    manager = TaskManager(include_path=[str(harness_folder())], include_defaults=False, metadata=metadata)
    results = simple_evaluate(
        model=model,
        tasks=["skillmix_k3"],
        task_manager=manager,
        limit=limit,
        apply_chat_template=mode == "chat",
        log_samples=True,
    )
    print(f"asked {model.asked}")  # noqa: T201
    if model.rank == 0:
        assert results is not None
        output.write_text(json.dumps(results, default=str))
