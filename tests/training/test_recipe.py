from __future__ import annotations

import importlib.resources
from pathlib import Path

import pytest
import yaml

from grading import UserError
from skillmix_tasks.harness.task_files import tasks_named
from training.tune.distributed import accumulation, check_running
from training.tune.recipe import Lora, load_recipe, recipe_names


def test_the_recipes_of_this_package():
    assert recipe_names() == [
        "llama-2-13b-chat-lora",
        "llama-2-13b-chat-paper",
        "mistral-7b-instruct-lora",
        "mistral-7b-instruct-paper",
        "mistral-7b-instruct-planning",
        "qwen3-8b-lora",
        "smollm2-135m-cpu",
    ]
    for name in recipe_names():
        recipe = load_recipe(name)
        assert all(tasks_named(task) for task in recipe.checked_tasks)
        assert recipe.data_config in (None, "k1-2-3")


@pytest.mark.parametrize("name", ["llama-2-13b-chat-paper", "mistral-7b-instruct-paper"])
def test_the_papers_figures(name: str):
    recipe = load_recipe(name)
    assert (recipe.method, recipe.steps, recipe.global_batch, recipe.max_length) == ("full", 4000, 64, 1024)
    assert (recipe.learning_rate, recipe.warmup_steps, recipe.schedule) == (2e-5, 64, "constant")
    assert (recipe.optimizer, recipe.weight_decay) == ("adamw_torch_fused", 0)


def test_fields_changed_on_the_command_line(tmp_path: Path):
    path = tmp_path / "own.yaml"
    path.write_text(yaml.safe_dump(load_recipe("mistral-7b-instruct-paper").model_dump(mode="json")))
    assert load_recipe(str(path)) == load_recipe("mistral-7b-instruct-paper")
    changed = load_recipe(
        str(path),
        ["method=lora", "lora.r=8", "lora.targets=[q_proj]", "steps=null", "epochs=2", "learning_rate=1.0e-3"],
    )
    assert changed.lora == Lora(r=8, targets=("q_proj",))
    assert (changed.steps, changed.epochs, changed.learning_rate) == (None, 2, 1e-3)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ("step=4", "there is no field step; the fields are model, revision, method"),
        ("lora.rank=4", "there is no field lora.rank; the fields are r, alpha, dropout, targets"),
        ("steps=many", "steps (a whole number is expected"),
        ("steps=0", "steps (1 or more is expected, not 0)"),
        ("steps=null", "it needs an end: either `steps` or `epochs`"),
        ("epochs=1", "it needs an end: either `steps` or `epochs`"),
        ("method=full", "`lora` belongs to the method lora"),
        ("schedule=cyclic", "schedule ('constant', 'linear' or 'cosine' is expected)"),
        ("steps", "--set steps sets nothing: type --set FIELD=VALUE"),
        ("steps.more=4", "steps has no fields of its own"),
        ("steps=[", "--set steps=[ has a value that cannot be read"),
    ],
)
def test_what_is_no_field_or_value(change: str, sentence: str):
    with pytest.raises(UserError) as refused:
        load_recipe("smollm2-135m-cpu", [change])
    assert sentence in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        (None, "There is no recipe"),
        ("- steps", "holds no fields"),
        ("steps: [", "cannot be read"),
        ("steps: 4", "model (it is missing)"),
    ],
)
def test_a_file_that_is_no_recipe(tmp_path: Path, content: str | None, sentence: str):
    path = tmp_path / "own.yaml"
    if content is not None:
        path.write_text(content)
    with pytest.raises(UserError, match=r"^[^\n]*$") as refused:
        load_recipe(str(path))
    assert sentence in str(refused.value)


def test_the_global_batch_on_any_number_of_processes():
    assert [accumulation(64, 4, world) for world in (1, 2, 16)] == [16, 8, 1]
    with pytest.raises(UserError, match="of 4 on 3 processes: use fewer, or another global_batch"):
        accumulation(64, 4, 3)
    with pytest.raises(UserError, match="of 4 on 32 processes: type --set micro_batch=2"):
        accumulation(64, 4, 32)


@pytest.mark.parametrize(
    ("fsdp", "processes", "distributed_type", "world", "good"),
    [
        ("false", 1, "NO", 1, True),
        ("false", 2, "MULTI_GPU", 2, True),
        ("true", 2, "FSDP", 2, True),
        ("true", 2, "MULTI_CPU", 2, False),
        ("true", 1, "NO", 1, False),
        ("false", 2, "NO", 1, False),
        ("false", 4, "MULTI_GPU", 2, False),
    ],
)
def test_what_runs_is_what_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, fsdp: str, processes: int, distributed_type: str, world: int, good: bool
):
    monkeypatch.setenv("ACCELERATE_USE_FSDP", fsdp)
    monkeypatch.setenv("WORLD_SIZE", str(processes))
    if good:
        check_running(distributed_type, world, precision="bf16", dtype="bfloat16")
        with pytest.raises(UserError, match="dtype float32, but the launcher's mixed_precision is bf16"):
            check_running(distributed_type, world, precision="bf16", dtype="float32")
    else:
        with pytest.raises(UserError, match=f"but .* runs on {world} "):
            check_running(distributed_type, world, precision="no", dtype="float32")


def test_the_shipped_configuration_keeps_whole_weights():
    path = importlib.resources.files("training.tune").joinpath("accelerate", "fsdp2.yaml")
    configuration = yaml.safe_load(path.read_text())
    assert configuration["fsdp_config"]["fsdp_version"] == 2
    assert configuration["fsdp_config"]["fsdp_state_dict_type"] == "FULL_STATE_DICT"
