"""A run that is killed, or asked to stop, goes on to the same weights and the same log, bit for bit."""

from __future__ import annotations

import json
import random
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

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
    write_tiny_model,
)

pytest.importorskip("trl")

STEPS = 14
LORA = {"method": "lora", "lora": {"r": 4, "alpha": 8, "dropout": 0.2}}


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainServer]:
    started = TrainServer(tmp_path_factory.mktemp("server"))
    yield started
    started.close()


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_model(tmp_path_factory.mktemp("model") / "tiny")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data") / "data")


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
    asked = start(broken)
    signal_at(ask, broken, asked[-1:], signal.SIGTERM)  # one of them is enough
    assert [process.wait() for process in asked] == [1] * world, asked[0].said()
    assert "SIGTERM stopped the run after step" in asked[0].said()
    assert not (broken / "result.json").exists()
    gone_on = start(broken)
    assert [process.wait() for process in gone_on] == [0] * world, gone_on[0].said()
    assert "Goes on from step" in gone_on[0].said()

    assert exact(broken) == exact(unbroken), f"killed at {kill}, asked to stop at {ask}"
    assert weights(broken) == weights(unbroken), f"killed at {kill}, asked to stop at {ask}"
    results = [json.loads((out / "result.json").read_text()) for out in (unbroken, broken)]
    for name in ("steps", "loss", "eval_loss", "tokens", "trained_tokens", "world_size", "distributed_type"):
        assert results[0][name] == results[1][name]
    assert results[0]["distributed_type"] == ("ddp" if world > 1 else "single")
    for secret in SECRETS.values():
        assert not list(files_with(broken, secret))
