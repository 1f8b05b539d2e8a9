"""A run that is killed, or asked to stop, goes on to the same weights and the same log, bit for bit."""

from __future__ import annotations

import json
import pickle
import random
import shutil
import signal
import zipfile
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from skillmix_tasks.items.draw import sample_items
from tests.tiny_model import write_tiny_model
from tests.training.making import PACK, row_of, write_rows
from tests.training.tuning import (
    SECRETS,
    TrainServer,
    exact,
    files_with,
    signal_at,
    train_arguments,
    weights,
    write_recipe,
    write_tiny_data,
)
from training.data.dataset import build_dataset
from training.data.rows import rows_file

pytestmark = pytest.mark.slow

pytest.importorskip("trl")

STEPS = 14
LORA = {"method": "lora", "lora": {"r": 4, "alpha": 8, "dropout": 0.2}}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("model") / "tiny"
    write_tiny_model(folder)
    return folder


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data") / "data")


def test_the_scan_finds_a_secret_that_is_there(tmp_path: Path):
    with zipfile.ZipFile(tmp_path / "state.pt", "w", zipfile.ZIP_DEFLATED) as parts:
        parts.writestr("data.pkl", pickle.dumps({"hub_token": SECRETS["HF_TOKEN"]}))
    assert list(files_with(tmp_path, SECRETS["HF_TOKEN"])) == [tmp_path / "state.pt"]
    assert not list(files_with(tmp_path, SECRETS["OPENAI_API_KEY"]))


@pytest.mark.parametrize(
    ("fields", "world"),
    [
        pytest.param(LORA, 1, id="lora with dropout"),
        pytest.param({"packing": True, "steps": STEPS, "activation_checkpointing": True}, 1, id="full, packed"),
        pytest.param({"micro_batch": 1}, 2, id="full, two processes"),
    ],
)
def test_a_killed_run_goes_on_to_the_same_end(
    server: TrainServer, model: Path, data: Path, tmp_path: Path, fields: dict[str, object], world: int
):
    recipe = write_recipe(tmp_path / "recipe.yaml", model, **fields)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"

    def start(out: Path):
        if world == 1:
            return [server.start(*train_arguments(recipe, data, out))]
        return server.start_ranks(world, *train_arguments(recipe, data, out))

    whole = start(unbroken)
    assert [process.wait() for process in whole] == [0] * world, whole[0].said()
    kill, ask = sorted(random.sample(range(1, STEPS - 1), 2))

    killed = start(broken)
    signal_at(kill, broken, killed, signal.SIGKILL)
    assert [process.wait() for process in killed] == [-signal.SIGKILL] * world
    half_saved = broken / "checkpoints" / "checkpoint-13"
    half_saved.mkdir(exist_ok=True)
    (half_saved / "trainer_state.json").write_text('{"global_step": 13}')
    asked = start(broken)
    signal_at(ask, broken, asked[-1:], signal.SIGTERM)  # one of them is enough
    assert [process.wait() for process in asked] == [1] * world, asked[0].said()
    assert "SIGTERM stopped the run after step" in asked[0].said()
    assert not (broken / "result.json").exists()
    gone_on = start(broken)
    assert [process.wait() for process in gone_on] == [0] * world, gone_on[0].said()
    assert "Resumes from step" in gone_on[0].said()

    assert exact(broken) == exact(unbroken), f"killed at {kill}, asked to stop at {ask}"
    assert weights(broken) == weights(unbroken), f"killed at {kill}, asked to stop at {ask}"
    results = [json.loads((out / "result.json").read_text()) for out in (unbroken, broken)]
    for name in ("steps", "loss", "eval_loss", "tokens", "trained_tokens", "world_size", "distributed_type"):
        assert results[0][name] == results[1][name]
    assert results[0]["distributed_type"] == ("ddp" if world > 1 else "single")
    for secret in SECRETS.values():
        assert not list(files_with(broken, secret))


def test_early_stopping_keeps_its_patience(server: TrainServer, model: Path, data: Path, tmp_path: Path):
    fields = {"early_stopping": 3, "save_steps": 2, "steps": 40, "learning_rate": 0.5, "max_grad_norm": 0}
    recipe = write_recipe(tmp_path / "recipe.yaml", model, **fields)
    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    assert server.start(*train_arguments(recipe, data, unbroken)).wait() == 0
    ended = json.loads((unbroken / "result.json").read_text())
    assert ended["stopped"] == "early"
    assert ended["model_step"] == ended["steps"] - 6  # three saves without a lower loss

    killed = server.start(*train_arguments(recipe, data, broken))
    signal_at(ended["steps"] - 3, broken, [killed], signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert server.start(*train_arguments(recipe, data, broken)).wait() == 0
    assert exact(broken) == exact(unbroken)
    assert weights(broken) == weights(unbroken)
    assert json.loads((broken / "result.json").read_text())["model_step"] == ended["model_step"]


def test_a_whole_run_is_left_alone_and_can_be_merged(server: TrainServer, model: Path, data: Path, tmp_path: Path):
    recipe = write_recipe(tmp_path / "recipe.yaml", model, steps=2, **LORA)
    out = tmp_path / "out"
    first = server.start(*train_arguments(recipe, data, out))
    assert first.wait() == 0
    assert "The warm-up has 2 steps and the run 2" in " ".join(first.said().split())
    (out / "log.jsonl").rename(tmp_path / "kept.jsonl")  # what comes to the same end again does not need it
    again = server.start(*train_arguments(recipe, data, out, "--merge", "--json"))
    assert again.wait() == 0
    assert '"steps": 2' in again.said()
    assert "Training" not in again.said()
    base, merged = (load_file(folder / "model.safetensors") for folder in (model, out / "merged"))
    adapter = load_file(out / "model" / "adapter_model.safetensors")
    name = "model.layers.0.mlp.up_proj"
    down, up = (adapter[f"base_model.model.{name}.lora_{part}.weight"] for part in "AB")
    assert abs(up).max() > 0
    np.testing.assert_allclose(merged[f"{name}.weight"], base[f"{name}.weight"] + 2 * up @ down, atol=1e-6)
    for folder in (out / "model", out / "merged"):
        assert (folder / "chat_template.jinja").read_bytes() == (model / "chat_template.jinja").read_bytes()
        assert not {"training_args.bin", "README.md"} & {path.name for path in folder.iterdir()}

    for change, words in (
        (("--set", "lora.r=8"), "another recipe (--recipe, --set): lora.r 8, was 4"),
        (("--on-too-long", "drop"), "another data set (--data): on_too_long drop, was fail"),
    ):
        refused = server.start(*train_arguments(recipe, data, out, *change))
        assert refused.wait() == 1
        assert words in refused.said()
    record = json.loads((out / "run.json").read_text())
    record["versions"]["trl"] = "0.9.0"
    record["world_size"] = 8
    (out / "run.json").write_text(json.dumps(record))
    shutil.rmtree(out / "merged")  # whole runs are merged whatever they were made with
    assert server.start(*train_arguments(recipe, data, out, "--merge")).wait() == 0
    assert (out / "merged").is_dir()
    result = (out / "result.json").read_bytes()
    (out / "result.json").unlink()
    refused = server.start(*train_arguments(recipe, data, out))
    assert refused.wait() == 1
    for name in ("number of processes", "releases of packages: trl"):
        assert name in refused.said()
    record["world_size"] = 1
    (out / "run.json").write_text(json.dumps(record))
    refused = server.start(*train_arguments(recipe, data, out))
    assert refused.wait() == 1
    assert "install these releases again" in refused.said()
    (out / "result.json").write_bytes(result)
    record["template"] = "another"
    record["data"]["fingerprint"] = "another"
    (out / "run.json").write_text(json.dumps(record))
    refused = server.start(*train_arguments(recipe, data, out))
    assert refused.wait() == 1
    for name in ("template", "data set (--data)"):
        assert name in refused.said()


def test_a_run_without_a_checkpoint_gives_way_to_another(
    server: TrainServer, model: Path, data: Path, tmp_path: Path
):
    arguments = train_arguments(
        write_recipe(tmp_path / "recipe.yaml", model, max_grad_norm=0), data, tmp_path / "out"
    )
    came_apart = server.start(*arguments, "--set", "learning_rate=1.0e+30")
    assert came_apart.wait() == 1
    assert "so the training diverged" in came_apart.said()
    mended = server.start(*arguments, "--set", "steps=2")
    assert mended.wait() == 0, mended.said()
    assert [line["step"] for line in exact(tmp_path / "out") if "loss" in line] == [1, 2]


def test_packed_rows_do_not_see_each_other(server: TrainServer, model: Path, data: Path, tmp_path: Path):
    losses = {}
    for packing in (False, True):
        recipe = write_recipe(  # one step over all rows, whatever batches they come in
            tmp_path / "recipe.yaml", model, steps=1, global_batch=64, micro_batch=1, packing=packing
        )
        out = tmp_path / f"packing-{packing}"
        assert server.start(*train_arguments(recipe, data, out)).wait() == 0
        [line, _] = exact(out)
        losses[packing] = line["loss"], line["tokens"], line["trained_tokens"]
    assert losses[True] == pytest.approx(losses[False], rel=1e-5)


@pytest.mark.parametrize(
    ("arguments", "environment", "sentence"),
    [
        (
            ("--set", "global_batch=3"),
            {},
            "cannot be made of micro batches of 2 on 1 process: type --set micro_batch=1",
        ),
        (("--merge",), {}, "--merge is for adapters"),
        (("--set", "report_to=[wandb]"), {}, "report_to names wandb, which is not installed"),
        (("--set", "optimizer=adamw_8bit"), {}, "optimizer adamw_8bit needs the package bitsandbytes"),
        ((), {"ACCELERATE_USE_FSDP": "true"}, "requested FSDP, which does not run without a GPU"),
        (("--set", "data_config=k2"), {}, "has no config 'k2', it has k1: type --set data_config=k1"),
        (("--set", "max_length=100"), {}, "are longer than max_length 100"),
        (("--set", "max_length=8", "--on-too-long", "drop"), {}, "No row is left to train on"),
        (("--set", "data_config=2024-13-01"), {}, "has a value that cannot be read"),
        (
            ("--set", "method=lora", "--set", "lora.targets=[foo]"),
            {},
            "lora.targets matches no layer of the model",
        ),
        (("--set", "model=/nowhere/at/all"), {}, "There is no model directory /nowhere/at/all"),
        (("--set", "eval_tasks=[skillmix_k77]"), {}, "skillmix_k77"),
    ],
)
def test_what_a_user_gets_wrong(
    server: TrainServer,
    model: Path,
    data: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    environment: dict[str, str],
    sentence: str,
):
    recipe = write_recipe(tmp_path / "recipe.yaml", model, max_grad_norm=0)
    refused = server.start(*train_arguments(recipe, data, tmp_path / "out", *arguments), **environment)
    assert refused.wait() == 1
    assert sentence in refused.said()
    assert "Traceback" not in refused.said()
    assert not (tmp_path / "out" / "result.json").exists()


def test_data_that_leaks(server: TrainServer, model: Path, tmp_path: Path):
    data = tmp_path / "data"
    write_rows(data, {2: 3})
    [*_, asked] = sample_items(PACK, task="skillmix_train_k2", k=2, split="train", seed=0, number=5)
    with rows_file(data, 2).open("a", encoding="utf-8") as file:
        file.write(row_of(asked).line())
    build_dataset(data)
    fields = {"steps": 1, "max_length": 4096, "eval_tasks": ["skillmix_train_k2"]}
    arguments = train_arguments(write_recipe(tmp_path / "recipe.yaml", model, **fields), data, tmp_path / "out")
    refused = server.start(*arguments)
    assert refused.wait() == 1
    assert "data leaks into the tasks of the recipe: item of a task (1 row)" in refused.said()
    assert not (tmp_path / "out").exists()
    allowed = server.start(*arguments, "--allow-leaks")
    assert allowed.wait() == 0, allowed.said()
    assert json.loads((tmp_path / "out" / "run.json").read_text())["leaks"]["leaks"]
