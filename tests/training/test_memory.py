"""The memory of a training as it is estimated, and what an experiment's estimate refuses."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from grading import UserError
from training.experiment.estimate import estimate_experiment
from training.experiment.spec import load_experiment
from training.memory import training_memory
from training.tune.recipe import load_recipe

pytestmark = pytest.mark.slow

pytest.importorskip("trl")

ROOT = Path(__file__).parents[2]
MISTRAL: dict[str, Any] = {
    "vocab_size": 32000,
    "hidden_size": 4096,
    "intermediate_size": 14336,
    "num_hidden_layers": 32,
    "num_attention_heads": 32,
    "num_key_value_heads": 8,
    "max_position_embeddings": 32768,
    "sliding_window": None,
    "tie_word_embeddings": False,
}
PARAMETERS = 7_241_732_096  # as the model's own index of weights adds up


@pytest.fixture(scope="module")
def mistral() -> Any:
    from transformers import MistralConfig

    return MistralConfig(**MISTRAL)


def test_a_full_fine_tune_of_7b(mistral: Any):
    recipe = load_recipe("mistral-7b-instruct-paper")
    found = training_memory(recipe, mistral, 1)
    assert found.parameters == found.trained == PARAMETERS
    assert (found.weights, found.gradients, found.optimizer) == (4 * PARAMETERS, 4 * PARAMETERS, 8 * PARAMETERS)
    # Each checkpointed layer keeps its input, 4 rows of 1,024 tokens in float32; a layer at work is some GB.
    assert 32 * 4 * 1024 * 4096 * 4 < found.activations < 12e9
    two = training_memory(recipe, mistral, 2)
    assert two.optimizer == found.optimizer / 2
    assert found.peak > 80e9 > two.peak


def test_what_a_recipe_changes(mistral: Any):
    def peak(*changes: str, name: str = "mistral-7b-instruct-lora") -> float:
        return training_memory(load_recipe(name, changes), mistral, 1).peak

    adapter = training_memory(load_recipe("mistral-7b-instruct-lora"), mistral, 1)
    assert adapter.trained == 167_772_160  # rank 64 beside every linear layer of the 32 blocks
    assert adapter.weights == 2 * PARAMETERS + 4 * adapter.trained
    assert peak("four_bit=true") < adapter.peak - 10e9
    assert peak("micro_batch=8") > adapter.peak + 1e9
    assert peak("activation_checkpointing=false") > 2 * adapter.peak
    eight = training_memory(load_recipe("mistral-7b-instruct-paper", ["optimizer=adamw_8bit"]), mistral, 1)
    assert eight.optimizer == 2 * PARAMETERS


def test_the_embedded_model_is_estimated_without_unpacking_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    found = estimate_experiment(load_experiment(ROOT / "reproduce" / "tiny.yaml"))
    assert not (tmp_path / "home" / "models").exists()
    assert found.fits[0].memory.parameters - found.fits[0].memory.trained == 134_515_008
    assert "SmolLM2-135M has 0.14 billion parameters" in found.text()


def write(folder: Path, mistral: Any, **changes: Any) -> Path:
    mistral.save_pretrained(folder / "mistral")
    fields: dict[str, Any] = {
        "teacher": {"model": "gpt-4.1-2025-04-14"},
        "judges": ["gpt-4.1-2025-04-14"],
        "texts": {"made": {"plan": "paper"}},
        "models": {"M": {"recipe": "mistral-7b-instruct-paper", "set": {"model": str(folder / "mistral")}}},
        "arms": {"D(1)": [{"texts": "made", "config": "k1"}], "D(1,2)": [{"texts": "made", "config": "k1-2"}]},
        "splits": ["all"],
        "ks": [2],
        "gpu": {"name": "H100", "memory_gb": 80},
        "budget": 1000,
    }
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(fields | changes))
    return file


def test_a_training_that_does_not_fit_is_refused_with_what_would(tmp_path: Path, mistral: Any):
    found = estimate_experiment(load_experiment(write(tmp_path, mistral)))
    with pytest.raises(UserError) as refused:
        found.check()
    said = str(refused.value)
    assert said.startswith("The training of M needs 123.")
    assert "where 78.5 GB are free for it: give it 2 GPUs (gpus: 2) or train an adapter (method: lora)" in said
    assert found.record()["memory"]["M"]["fits"] is False


def test_dollars_and_hours_of_each_step_and_the_budget(tmp_path: Path, mistral: Any):
    models = {"M": {"recipe": "mistral-7b-instruct-paper", "set": {"model": str(tmp_path / "mistral")}, "gpus": 2}}
    found = estimate_experiment(load_experiment(write(tmp_path, mistral, models=models, seeds=[0, 1])))
    found.check()
    names = [part.name for part in found.steps.parts]
    assert names == [
        "Texts made",
        "Training M on D(1)",
        "Training M on D(1,2)",
        "Answers of M",
        "Judging by gpt-4.1-2025-04-14",
    ]
    texts, first, second, answers, judged = found.steps.parts
    assert texts.dollars
    assert judged.dollars
    assert found.steps.dollars == pytest.approx(texts.dollars + judged.dollars)
    assert first.work.startswith("512,000 rows")  # 4,000 steps of 64 rows, for each seed
    assert first.gpu_hours
    assert second.gpu_hours
    assert second.gpu_hours > first.gpu_hours  # its rows are longer
    assert answers.work == "1,500 answers of 5 models to 1 task"
    tight = estimate_experiment(load_experiment(write(tmp_path, mistral, models=models, budget=10)))
    with pytest.raises(UserError, match=r"is estimated at \$\d+.\d\d, more than its budget of \$10.00"):
        tight.check()


def test_a_machine_without_the_memory_is_refused(tmp_path: Path, mistral: Any):
    models = {
        "M": {
            "recipe": "mistral-7b-instruct-lora",
            "set": {"model": str(tmp_path / "mistral")},
            "gpus": 0,
            "memory_gb": 16,
        }
    }
    with pytest.raises(UserError, match=r"needs \d\d.\d GB of the machine, where 15.0 GB are free"):
        estimate_experiment(load_experiment(write(tmp_path, mistral, models=models))).check()
