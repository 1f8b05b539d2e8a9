"""Useful tokens a second of `skillmix train`, beside plain TRL with the same settings.

    python -m benchmarks.train_throughput [--steps 8] [--repeats 3] [--only full]    on a CPU, the small model
    python -m benchmarks.train_throughput --gpu-model [--layers 32] [--only lora packing]

Each run is a process of its own, ours and TRL's in turn; the first step, which warms up, is not counted, nor are
loading and saving. Both must have seen the same tokens in each step. What other work on the machine costs is taken
out by the least time of each step over all repeats; `all` shows the runs whole. On a CPU the model is that of the
quickstart. `--gpu-model` takes a model of random weights in the shape of Mistral-7B: LoRA with r = 64 and a full
fine-tune, with and without packing, activation checkpointing and compile; ours alone, with MFU. A full fine-tune
keeps float32 weights and moments, 16 bytes a weight: it has 12 of the 32 layers there, which changes tokens a
second and hardly MFU. `--only` takes the variants that have its words.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from itertools import pairwise, product
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import yaml
from datasets import Dataset

from grading.home import home
from skillmix_tasks.commands.embedded import convert_embedded_model
from skillmix_tasks.items.draw import sample_items
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.prompts import render
from training.tune.resume import read_log

_FULL_LAYERS = 12


def _say(line: str) -> None:
    sys.stdout.write(f"train_throughput {line}\n")
    sys.stdout.flush()


def _write_data(folder: Path, rows: int, k: int, longest: int) -> Path:
    """Conversations with the real prompts for k skills, and answers of up to about twice `longest` words."""
    pack = load_pack("language")
    items = sample_items(pack, task="throughput", k=k, split="train", seed=0, number=rows)
    chats = []
    for place, item in enumerate(items):
        chat = []
        for turn in ("turn1", "turn2"):
            answer = " ".join(f"{item.topic.name} {item.skills[0].name}" for _ in range(5 + 7 * place % longest))
            chat += [{"role": "user", "content": render(pack, turn, item)}]
            chat += [{"role": "assistant", "content": f"Answer: {answer}"}]
        chats.append(chat)
    folder.mkdir()
    Dataset.from_dict({"messages": chats}).to_parquet(str(folder / "train.parquet"))
    return folder


def _ours(recipe: Path, data: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "skillmix", "train", "--recipe", str(recipe), "--data", str(data)]
    subprocess.run([*command, "--out", str(out)], check=True, stdout=subprocess.DEVNULL)  # noqa: S603
    lines = [line for line in read_log(out / "log.jsonl") if "loss" in line]
    return {
        name: [after[name] - before[name] for before, after in pairwise(lines)] for name in ("tokens", "seconds")
    } | {"mfu": lines[-1].get("mfu"), "peak_memory": lines[-1]["peak_memory_bytes"]}


def _plain(recipe: Path, data: Path, out: Path) -> dict[str, Any]:
    command = [sys.executable, "-m", "benchmarks.plain_trl", str(recipe), str(data), str(out)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)  # noqa: S603
    figures: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return figures


def _write_recipe(path: Path, **fields: Any) -> Path:
    common = {"learning_rate": 1e-5, "max_length": 4096, "save_steps": 1000}
    path.write_text(yaml.safe_dump(common | fields), encoding="utf-8")
    return path


def _on_cpu(folder: Path, steps: int, repeats: int, only: list[str]) -> None:
    model = convert_embedded_model(home() / "models" / "smollm2-135m-instruct")
    data = _write_data(folder / "data", 64, k=1, longest=10)
    for method, lora in (("lora", {"r": 16, "alpha": 32, "dropout": 0.0}), ("full", None)):
        if only and method not in only:
            continue
        recipe = _write_recipe(
            folder / "recipe.yaml",
            model=str(model),
            method=method,
            lora=lora,
            steps=steps,
            global_batch=2,
            micro_batch=2,
            dtype="bfloat16",
        )
        runs: dict[str, list[dict[str, Any]]] = {"ours": [], "trl": []}
        for number in range(repeats):
            ours = _ours(recipe, data, folder / f"{method}-{number}")
            plain = _plain(recipe, data, folder / f"{method}-{number}-trl")
            if ours["tokens"] != plain["tokens"]:
                raise RuntimeError(f"ours saw {ours['tokens']} tokens, TRL {plain['tokens']}")
            runs["ours"].append(ours)
            runs["trl"].append(plain)
        rate, base = (_best(runs[name]) for name in ("ours", "trl"))
        every = {name: [round(_rate(one), 1) for one in runs[name]] for name in runs}
        _say(
            f"method={method} tokens_per_second={rate:.1f} trl={base:.1f} ratio={rate / base:.3f} "
            f"all={every['ours']} trl_all={every['trl']}"
        )


def _rate(figures: dict[str, Any]) -> float:
    """Tokens a second of a run."""
    return float(sum(figures["tokens"]) / sum(figures["seconds"]))


def _best(runs: list[dict[str, Any]]) -> float:
    """Tokens a second of a run that took for each step the least time that any of `runs` took for it."""
    least = [min(times) for times in zip(*(run["seconds"] for run in runs), strict=True)]
    return float(sum(runs[0]["tokens"]) / sum(least))


def _write_mistral(folder: Path, layers: int) -> Path:
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer, MistralConfig

    tokenizer = AutoTokenizer.from_pretrained(convert_embedded_model(home() / "models" / "smollm2-135m-instruct"))
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=4096,
        intermediate_size=14336,
        num_hidden_layers=layers,
        num_attention_heads=32,
        num_key_value_heads=8,
        sliding_window=None,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    with torch.device("cuda"):
        model = AutoModelForCausalLM.from_config(  # type: ignore[no-untyped-call]
            config, dtype=torch.bfloat16
        )
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def _on_gpu(folder: Path, steps: int, layers: int, only: list[str]) -> None:
    data = _write_data(folder / "data", 512, k=3, longest=45)
    models: dict[int, Path] = {}
    for method, *switches in product(("lora", "full"), (False, True), (True, False), (False, True)):
        named = dict(zip(("packing", "activation_checkpointing", "compile"), switches, strict=True))
        words = [method, *(name for name, on in named.items() if on)]
        if not set(only) <= set(words):
            continue
        depth = layers if method == "lora" else min(layers, _FULL_LAYERS)
        if depth not in models:
            models[depth] = _write_mistral(folder / f"model-{depth}", depth)
        recipe = _write_recipe(
            folder / "recipe.yaml",
            model=str(models[depth]),
            method=method,
            lora={"r": 64, "alpha": 128, "dropout": 0.0} if method == "lora" else None,
            steps=steps,
            # 8 rows of some 500 tokens, or 2 bins of 2,048 tokens: about as much at a time
            **(
                {"global_batch": 4, "micro_batch": 2}
                if named["packing"]
                else {"global_batch": 16, "micro_batch": 8}
            ),
            **named | {"max_length": 2048},
        )
        try:
            figures = _ours(recipe, data, folder / "-".join(words))
        except subprocess.CalledProcessError as error:
            _say(f"variant={'+'.join(words)} layers={depth} failed (status {error.returncode}): see above")
            continue
        _say(
            f"variant={'+'.join(words)} layers={depth} "
            f"tokens_per_second={_rate(figures):.0f} mfu={figures['mfu']} "
            f"peak_memory={figures['peak_memory'] / 2**30:.1f}GiB"
        )


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--steps", type=int, default=8)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--gpu-model", action="store_true", help="a Mistral-7B of random weights, on a GPU")
    parser.add_argument("--layers", type=int, default=32)
    parser.add_argument(
        "--only", nargs="*", default=[], help="lora, full, packing, activation_checkpointing, compile"
    )
    given = parser.parse_args()
    with TemporaryDirectory() as folder:
        if given.gpu_model:
            _on_gpu(Path(folder), given.steps, given.layers, given.only)
        else:
            _on_cpu(Path(folder), given.steps, given.repeats, given.only)


if __name__ == "__main__":
    main()
