"""The real memory of a training beside the figures of `skillmix estimate`, on a CPU.

    python -m benchmarks.training_memory

Each recipe trains for two steps in a process of its own, on rows that fill max_length. Its memory is the peak of
the resident set (VmHWM) above that of the same process after it has trained a model of some thousand weights, so
that libraries do not count. glibc is set to return large blocks at once, as it would otherwise keep some.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from training.memory import model_config, training_memory
from training.tune.recipe import Recipe, load_recipe

_STEPS = 2
_ONE = ["global_batch=1", "micro_batch=1"]
_FULL = ["method=full", "lora=null"]
CASES: dict[str, list[str]] = {  # by name, the changes of the recipe smollm2-135m-cpu
    "tiny, full, float32": [*_FULL, "dtype=float32", *_ONE, "max_length=1024"],
    "tiny, LoRA, float32": ["dtype=float32", *_ONE, "max_length=1024"],
    "tiny, full, two micro batches": [*_FULL, "dtype=float32", *_ONE, "global_batch=2", "max_length=1024"],
    "SmolLM2-135M, full, float32": [*_FULL, "dtype=float32", *_ONE, "max_length=256"],
    "SmolLM2-135M, LoRA, bfloat16": [*_ONE, "max_length=256"],
    "SmolLM2-135M, full, bfloat16": [*_FULL, *_ONE, "max_length=256"],
    "SmolLM2-135M, full, checkpointing": [
        *_FULL, *_ONE, "dtype=float32", "activation_checkpointing=true", "max_length=256",
    ],
}  # fmt: skip


def changes(name: str, folder: Path) -> list[str]:
    """The changes of a case, with the tiny model in `folder` where it is meant."""
    own = [f"model={folder / 'tiny'}"] if name.startswith("tiny") else []
    return [*own, *CASES[name], f"steps={_STEPS}", "warmup_steps=0", "eval_tasks=[]", "save_steps=100"]


def write_inputs(folder: Path) -> None:
    """A model of 34 million random weights, and texts that are longer than any max_length here."""
    from tests.tiny_model import write_tiny_model

    write_tiny_model(folder / "first")
    write_tiny_model(folder / "tiny", layers=8, size=512, vocabulary=32_768)
    data = folder / "data"
    data.mkdir()
    rows = [{"id": str(number), "text": f"{number} " + "a plain text " * 800} for number in range(8)]
    (data / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def measure(name: str, folder: Path) -> dict[str, float]:
    """Estimated and measured bytes of a case, from a process of its own."""
    done = subprocess.run(  # noqa: S603
        [sys.executable, "-m", "benchmarks.training_memory", name, str(folder)],
        env=os.environ | {"MALLOC_MMAP_THRESHOLD_": "65536"},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    found: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return found


def _measured(name: str, folder: Path) -> dict[str, Any]:
    first = [f"model={folder / 'first'}", "max_length=16", *_ONE, *changes(name, folder)[-4:]]
    _train(load_recipe("smollm2-135m-cpu", first), folder)
    recipe = load_recipe("smollm2-135m-cpu", changes(name, folder))
    estimated = training_memory(recipe, model_config(recipe), 0)
    return {"estimated": estimated.peak, "measured": _train(recipe, folder)}


def _train(recipe: Recipe, folder: Path) -> float:
    """The bytes that a training adds to the process."""
    from training.tune.prepare import Options, prepare
    from training.tune.sft import fit
    from training.tune.tracking import Totals

    prepared = prepare(recipe, [str(folder / "data")], Options(on_too_long="truncate"))
    out = Path(tempfile.mkdtemp(dir=folder))
    before = _status("VmRSS")
    Path("/proc/self/clear_refs").write_text("5")  # VmHWM begins anew
    fit(prepared, out, None, Totals())
    return _status("VmHWM") - before


def _status(field: str) -> float:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(1024.0 * int(line.split()[1]) for line in lines if line.startswith(field))


def main() -> None:
    """Print a line for each case."""
    if len(sys.argv) > 2:
        print(json.dumps(_measured(sys.argv[1], Path(sys.argv[2]))))  # noqa: T201
        return
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        write_inputs(folder)
        for name in CASES:
            found = measure(name, folder)
            share = found["estimated"] / found["measured"] - 1
            print(  # noqa: T201
                f"{name:40} estimated {found['estimated'] / 1e9:5.2f} GB, "
                f"measured {found['measured'] / 1e9:5.2f} GB: {share:+.0%}",
                flush=True,
            )


if __name__ == "__main__":
    main()
