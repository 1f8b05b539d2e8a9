"""A model's way: its base and its texts from the Hub, `skillmix train`, and back; run by test_model.py."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

from tests.hub_cards.driving import Done, skillmix
from tests.hub_cards.made import make_training_data
from tests.tiny_model import write_tiny_model

RECIPE = """
model: org/base
method: lora
lora: {r: 4, alpha: 8, dropout: 0.0, targets: all-linear}
steps: 3
global_batch: 2
micro_batch: 2
learning_rate: 1.0e-2
max_length: 8192
dtype: float32
save_steps: 2
leak_tasks: [skillmix_k2]
"""
LICENSE = ("--license", "apache-2.0", "--training-data", "org/texts")


def pushed(*arguments: object) -> Any:
    return skillmix("push", *arguments, "--json").json


def logits(model: Any) -> Any:
    import torch

    with torch.no_grad():
        return model.eval()(torch.arange(1, 60).reshape(1, -1)).logits


def main() -> None:
    from huggingface_hub import HfApi

    here = Path.cwd()
    api = HfApi()
    base = here / "base"
    write_tiny_model(base)
    api.create_repo("org/base")
    api.upload_folder(repo_id="org/base", folder_path=base)
    texts = make_training_data(here / "texts", model="/home/somebody/models/tiny-teacher")
    told: dict[str, Any] = {"texts": pushed("training-data", texts, "org/texts", "--license", "cc-by-4.0")}

    (here / "recipe.yaml").write_text(RECIPE)
    trained: Done = skillmix("train", "--recipe", "recipe.yaml", "--data", "org/texts", "--out", "run", "--merge")
    assert not trained.status, trained

    run = here / "run"
    told["base"] = json.loads((run / "run.json").read_text())["base_model"]
    # The base moves on; the run, started again, stays with the commit that it began with.
    api.upload_file(repo_id="org/base", path_or_fileobj=b"Better.", path_in_repo="notes.txt")
    again = skillmix("train", "--recipe", "recipe.yaml", "--data", "org/texts", "--out", "run", "--merge")
    told["gone on"] = (again.status, api.model_info("org/base").sha)
    # What a run leaves that was stopped, and a file with a key of its own.
    unfinished = shutil.copytree(run, here / "unfinished")
    for name in ("result.json", "model", "merged"):
        path = unfinished / name
        path.unlink() if path.is_file() else shutil.rmtree(path)
    shutil.rmtree(unfinished / "checkpoints" / "checkpoint-3")
    (unfinished / "checkpoints" / "checkpoint-3").mkdir()
    specless = shutil.copytree(texts, here / "specless")
    (specless / "run.json").write_text(json.dumps(json.loads((texts / "run.json").read_text()) | {"judge": None}))

    told["dry"] = pushed("model", run, "org/adapter", *LICENSE, "--dry-run")
    told["adapter"] = pushed("model", run, "org/adapter", *LICENSE)
    told["again"] = pushed("model", run, "org/adapter", *LICENSE)
    told["merged"] = pushed("model", run, "org/merged", *LICENSE, "--merged")
    (unfinished / "evaluation" / "after" / "answers").mkdir(parents=True)  # of a comparison that goes on
    told["unfinished"] = pushed("model", unfinished, "org/unfinished", *LICENSE)
    told["unfinished dry"] = pushed("model", unfinished, "org/unfinished", *LICENSE, "--dry-run")
    told["moved"] = pushed("model", run, "org/moved", *LICENSE, "--merged")
    told["refused"] = {
        "no run": skillmix("push", "model", here, "org/x", *LICENSE).status,
        "no specs": skillmix("push", "training-data", specless, "org/x", "--license", "mit").status,
        "no license": skillmix("push", "model", run, "org/x", "--training-data", "org/texts").status,
        "no data": skillmix("push", "model", run, "org/x", "--license", "mit").status,
        "not ours": skillmix("push", "model", run, "org/base", *LICENSE).status,
        "merged too early": skillmix("push", "model", unfinished, "org/x", *LICENSE, "--merged").status,
    }

    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    def loaded(name: str | Path) -> Any:
        return AutoModelForCausalLM.from_pretrained(name)

    local = logits(PeftModel.from_pretrained(loaded(base), run / "model"))
    hub = logits(PeftModel.from_pretrained(loaded("org/base"), "org/adapter"))
    told["adapter equal"] = bool((local == hub).all())
    told["adapter learned"] = float((local - logits(loaded(base))).abs().max())
    told["merged equal"] = bool((logits(loaded(run / "merged")) == logits(loaded("org/merged"))).all())
    checkpoint = run / "checkpoints" / "checkpoint-2"
    kept = logits(PeftModel.from_pretrained(loaded(base), checkpoint))
    told["unfinished equal"] = bool(
        (kept == logits(PeftModel.from_pretrained(loaded("org/base"), "org/unfinished"))).all()
    )
    tokenizer = AutoTokenizer.from_pretrained("org/adapter")
    told["template equal"] = tokenizer.chat_template == AutoTokenizer.from_pretrained(base).chat_template

    evaluated = skillmix(
        *("eval", "--model", "hf", "--model_args", "pretrained=org/merged,dtype=float32", "--device", "cpu"),
        *("--tasks", "skillmix_k2,skillmix_k3", "--apply_chat_template", "--limit", "2", "--batch_size", "6"),
        *("--gen_kwargs", "max_gen_toks=12", "--log_samples", "--output_path", "out"),
    )
    assert not evaluated.status, evaluated
    bare = here / "bare"
    bare.mkdir()
    for path in here.glob("out/**/results_*.json"):
        shutil.copy(path, bare)
    told["refused"] |= {
        "other model": skillmix("push", "results", "out", "org/adapter").status,
        "no samples": skillmix("push", "results", bare, "org/merged").status,
        "not pushed": skillmix("push", "results", "out", "org/none", "--student", "org/merged").status,
    }
    told["results"] = pushed("results", "out", "org/merged")
    told["results again"] = pushed("results", "out", "org/merged")
    told["merged again"] = pushed("model", run, "org/merged", *LICENSE, "--merged")
    pushed("results", "out", "org/moved", "--student", "org/merged")
    told["moved with results"] = pushed("model", run, "org/moved", *LICENSE)
    told["space"] = pushed("space", "org/board", "--results", "out", "--public")
    told["space again"] = pushed("space", "org/board", "--results", "out", "--public")
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    main()
