"""Whether fine-tuning binds answers to their prompts, and does so better than before: the small model, real texts.

    python -m benchmarks.prompt_binding FOLDER_OF_THE_REFERENCE_DATA [--steps 9]

Trains the quickstart's model, as an adapter and as a whole, on the two-turn texts of the reference data, but for
two of the five items of each k. On the texts of those it measures the loss on the answers under their own prompts
and under those of the other held-out item of the same k. Texts of one item are no independent ones, so differences
are means over an item's texts, with a 95 % bootstrap interval over items. All figures stand before and after.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np
from datasets import Dataset
from scipy import stats

from grading import UserError
from grading.home import home
from skillmix_tasks.calibration.series import read_series
from skillmix_tasks.calibration.tree import read_table
from skillmix_tasks.commands.embedded import convert_embedded_model
from training.tune.encode import encode
from training.tune.marking import marked_template

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

_HELD = (3, 4)  # of five items
_ROLES = ("user", "assistant")
_RECIPES = {
    "lora": ["lora.r=16"],
    "full": ["method=full", "lora=null", "learning_rate=3.0e-5"],
}
Chat = list[dict[str, str]]


@dataclass(frozen=True)
class _Text:
    """A text's item (its k and its place among five), and its prompts and answers in turn."""

    k: int
    index: int
    generation: int
    said: tuple[str, str, str, str]

    def chat(self, answers: _Text | None = None) -> Chat:
        """The conversation, with the answers of another text if one is given."""
        spoken = (answers or self).said
        contents = (self.said[0], spoken[1].strip(), self.said[2], spoken[3].strip())
        return [{"role": role, "content": text} for role, text in zip(_ROLES * 2, contents, strict=True)]


def _read(folder: Path) -> list[_Text]:
    found = []
    for one in read_series(folder)[0]:
        for generation, path in one.answers.items():
            rows, broken = read_table(path)
            if broken:
                raise UserError(f"{path}: {broken}.")
            for index, row in enumerate(rows):
                first, answer, second, last = (str(row[f"{role}_{turn}"]) for turn in (0, 1) for role in _ROLES)
                found.append(_Text(one.series.k, index, generation, (first, answer, second, last)))
    return found


def _losses(model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, chats: list[Chat]) -> list[float]:
    """The mean loss of each conversation's answers."""
    import torch

    rows = encode(Dataset.from_dict({"messages": chats}), tokenizer, marked_template(tokenizer)).rows
    found = []
    with torch.inference_mode():
        for row in rows:
            tokens, labels = (torch.tensor([row[name]]) for name in ("input_ids", "labels"))
            found.append(float(model(input_ids=tokens, labels=labels).loss))
    return found


def _measure(
    model: PreTrainedModel, tokenizer: PreTrainedTokenizerBase, texts: list[_Text]
) -> dict[str, tuple[float, ...]]:
    """The loss under the right and under the permuted prompts, and their difference with its interval."""
    by_place = {(text.k, text.index, text.generation): text for text in texts}
    others = [by_place[text.k, sum(_HELD) - text.index, text.generation] for text in texts]
    right = _losses(model, tokenizer, [text.chat() for text in texts])
    permuted = _losses(
        model, tokenizer, [other.chat(answers=text) for text, other in zip(texts, others, strict=True)]
    )
    by_item: dict[tuple[int, int], list[float]] = defaultdict(list)
    for text, one, two in zip(texts, right, permuted, strict=True):
        by_item[text.k, text.index].append(two - one)
    differences = [float(np.mean(some)) for some in by_item.values()]
    interval = stats.bootstrap((differences,), np.mean, rng=np.random.default_rng(0)).confidence_interval
    return {
        "right": (float(np.mean(right)),),
        "permuted": (float(np.mean(permuted)),),
        "difference": (float(np.mean(differences)), float(interval.low), float(interval.high)),
    }


def _say(method: str, when: str, figures: dict[str, tuple[float, ...]]) -> None:
    mean, low, high = figures["difference"]
    sys.stdout.write(
        f"prompt_binding method={method} when={when} right={figures['right'][0]:.4f} "
        f"permuted={figures['permuted'][0]:.4f} difference={mean:.4f} ({low:.4f} to {high:.4f})\n"
    )
    sys.stdout.flush()


def _train(method: str, data: Path, out: Path, steps: int) -> dict[str, Any]:
    changes = [f"steps={steps}", "max_length=4096", "save_steps=1000", "eval_tasks=[]", *_RECIPES[method]]
    options = [argument for change in changes for argument in ("--set", change)]
    command = [sys.executable, "-m", "skillmix", "train", "--recipe", "smollm2-135m-cpu", "--data", str(data)]
    subprocess.run(  # noqa: S603
        [*command, "--out", str(out), *options, *(["--merge"] if method == "lora" else [])],
        check=True,
        stdout=subprocess.DEVNULL,
    )
    result: dict[str, Any] = json.loads((out / "result.json").read_text(encoding="utf-8"))
    return result


def _run(reference: Path, steps: int) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    texts = _read(reference)
    held = [text for text in texts if text.index in _HELD]
    base = convert_embedded_model(home() / "models" / "smollm2-135m-instruct")
    tokenizer = AutoTokenizer.from_pretrained(base)
    before = _measure(AutoModelForCausalLM.from_pretrained(base, dtype="bfloat16"), tokenizer, held)
    with TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "data").mkdir()
        trained = [text.chat() for text in texts if text.index not in _HELD]
        Dataset.from_dict({"messages": trained}).to_parquet(str(folder / "data" / "train.parquet"))
        for method in _RECIPES:
            out = folder / method
            result = _train(method, folder / "data", out, steps)
            made = out / ("merged" if method == "lora" else "model")
            _say(method, "before", before)
            _say(
                method,
                "after",
                _measure(AutoModelForCausalLM.from_pretrained(made, dtype="bfloat16"), tokenizer, held),
            )
            sys.stdout.write(
                f"prompt_binding method={method} trained_on={len(trained)} held_out={len(held)} "
                f"steps={result['steps']} tokens_per_second={result['tokens_per_second']} "
                f"peak_memory={result['peak_memory_bytes'] / 2**30:.2f}GiB\n"
            )
            sys.stdout.flush()


def main() -> None:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("reference", type=Path, help="the folder of the reference data")
    parser.add_argument("--steps", type=int, default=9, help="of 4 texts; 9 are an epoch")
    given = parser.parse_args()
    try:
        _run(given.reference, given.steps)
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
