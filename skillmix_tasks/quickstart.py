"""`skillmix quickstart`: a whole run on this machine, without a GPU, a key or a network."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from grading.home import home
from skillmix_tasks.embedded import convert_embedded_model
from skillmix_tasks.evaluate import run_lm_eval

CAVEAT = (
    "The student and the judge here are SmolLM2-135M-Instruct. A judge this small proves that the pipeline "
    "works; the score means nothing."
)


def quickstart(output: Path, items: int, *, as_json: bool = False) -> None:
    """Run skillmix_k2 on `items` items with the embedded model as student and as judge."""
    model = convert_embedded_model(home() / "models" / "smollm2-135m-instruct")
    run_lm_eval(
        [
            *("--model", "hf", "--model_args", f"pretrained={model},dtype=bfloat16"),
            *("--tasks", "skillmix_k2", "--limit", str(items), "--batch_size", "12"),
            *("--gen_kwargs", "max_gen_toks=192"),  # the model rambles on to any limit
            *("--apply_chat_template", "--log_samples", "--output_path", str(output)),
            *("--metadata", json.dumps({"skillmix": {"judge": f"hf:{model}"}})),
        ],
        as_json=as_json,
    )
    [*_, samples] = sorted(output.glob("**/samples_skillmix_k2_*.jsonl"))
    # With --json the table's place is taken by one JSON object, and this is not to stand beside it.
    said = f"Samples, with every verdict and its evidence: {samples}\n{CAVEAT}"
    print(said, file=sys.stderr if as_json else sys.stdout)
