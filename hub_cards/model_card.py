"""The card of a model, from the facts of its training and from its evaluations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from huggingface_hub import ModelCardData

from hub_cards.cards import render_card, tags
from hub_cards.evaluations import Evaluation

_RECIPE = (
    "method", "lora", "four_bit", "data_config", "steps", "epochs", "global_batch", "learning_rate",
    "warmup_steps", "schedule", "optimizer", "weight_decay", "max_length", "dtype", "packing", "seed",
    "early_stopping",
)  # fmt: skip


def model_card(facts: dict[str, Any], evaluations: Sequence[Evaluation]) -> str:
    """The card; UserError if a fact is missing."""
    name = facts["repo"].rpartition("/")[2]
    metadata = ModelCardData(
        license=facts["license"],
        language=["en"],
        base_model=facts["base_model"]["name"],
        base_model_relation="adapter" if facts["adapter"] else "finetune",
        library_name="peft" if facts["adapter"] else "transformers",
        pipeline_tag="text-generation",
        datasets=[facts["training_data"]],
        tags=tags("model", "compositional-generalization", *(["lora"] if facts["adapter"] else [])),
        model_name=name if evaluations else None,
        eval_results=[result for one in evaluations for result in one.results()] or None,
    )
    return render_card(
        "model",
        metadata,
        name=name,
        facts=facts,
        base=facts["base_model"],
        recipe={key: facts["recipe"][key] for key in _RECIPE if facts["recipe"].get(key) is not None},
        result=facts["result"],
        checkpoint=facts["checkpoint"],
        data=facts["data"],
        leaks=facts["leaks"],
        evaluations=[_shown(one) for one in evaluations],
        judges=list({one.run.judge.key: one for one in evaluations}.values()),
    )


def _shown(one: Evaluation) -> dict[str, Any]:
    run = one.run
    metrics = []
    for metric, score in run.scores.items():
        interval = one.interval(metric)
        metrics.append(
            {"name": metric.replace("_", " "), "value": score.value, "low": interval.low, "high": interval.high}
            if score is not None and interval is not None
            else {"name": metric.replace("_", " "), "value": None}
        )
    return {
        "task": run.task,
        "split": run.record.split,
        "pack": run.record.pack.name,
        "k": run.record.k,
        "judge": run.judge.name,
        "items": run.items,
        "coverage": run.coverage,
        "metrics": metrics,
        "turns": run.protocol.turns,
        "low": run.low,
        "high": run.high,
        "dollars": one.dollars,
        "folder": one.folder,
    }
