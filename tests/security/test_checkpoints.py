"""Checkpoints and models that a disk or a kill has damaged: named, and never resumed from in silence."""

from __future__ import annotations

import json
import logging
import resource
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from grading import UserError
from hub_cards.model import model_facts
from tests.tiny_model import write_tiny_model
from tests.training.making import items, row_of
from tests.training.tuning import TrainServer, exact, train_arguments, weights, write_recipe
from training.data.dataset import build_dataset
from training.data.rows import rows_file
from training.trained import read_run
from training.tune.checksums import MARK, find_damage
from training.tune.resume import last_complete, read_log

pytestmark = pytest.mark.slow

pytest.importorskip("trl")

LORA = {"method": "lora", "lora": {"r": 2, "alpha": 4, "dropout": 0.1}}


@dataclass(frozen=True)
class Trained:
    """A run of 3 steps that is done, with the checkpoints of its last two; to be copied, not changed."""

    server: TrainServer
    arguments: tuple[str, ...]
    out: Path

    def copy(self, folder: Path, *, done: bool = False) -> Path:
        """The run in another folder, as it is, or as if its process had been killed before its end."""
        shutil.copytree(self.out, folder)
        if not done:
            (folder / "result.json").unlink()
            shutil.rmtree(folder / "model")
        return folder

    def again(self, out: Path, *more: str) -> tuple[int, str]:
        """Type the run's command again, for the folder `out`: its status and what it said."""
        process = self.server.start(*self.arguments, "--out", str(out), *more)
        return process.wait(), process.said()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("checkpoints")


@pytest.fixture(scope="module")
def server(folder: Path) -> Iterator[TrainServer]:
    started = TrainServer(folder)
    yield started
    started.close()


@pytest.fixture(scope="module")
def trained(server: TrainServer, folder: Path) -> Trained:
    write_tiny_model(folder / "tiny")
    data = folder / "data"
    data.mkdir()
    rows = [row_of(item, prompt1="Write.", prompt2="Better.") for item in items(1, 12)]
    rows_file(data, 1).write_text("".join(row.line() for row in rows), encoding="utf-8")
    build_dataset(data, validation=0)
    recipe = write_recipe(
        folder / "recipe.yaml", folder / "tiny", steps=3, save_steps=1, micro_batch=1, global_batch=1, **LORA
    )
    arguments = train_arguments(recipe, data, folder / "out")
    process = server.start(*arguments, "--merge")
    assert process.wait() == 0, process.said()
    return Trained(server, arguments[:-2], folder / "out")


def zero(name: str) -> Callable[[Path], None]:
    """Zeros in place of the second half of a file: what a block that was never written reads as."""

    def damage(checkpoint: Path) -> None:
        path = checkpoint / name
        content = path.read_bytes()
        path.write_bytes(content[: len(content) // 2] + bytes(len(content) - len(content) // 2))

    return damage


def cut(name: str, share: float = 0.5) -> Callable[[Path], None]:
    def damage(checkpoint: Path) -> None:
        content = (checkpoint / name).read_bytes()
        (checkpoint / name).write_bytes(content[: int(len(content) * share)])

    return damage


def missing(name: str) -> Callable[[Path], None]:
    return lambda checkpoint: (checkpoint / name).unlink()


def flipped(name: str) -> Callable[[Path], None]:
    def damage(checkpoint: Path) -> None:
        content = bytearray((checkpoint / name).read_bytes())
        content[len(content) // 3] ^= 1
        (checkpoint / name).write_bytes(content)

    return damage


def of_another_step(name: str) -> Callable[[Path], None]:
    def damage(checkpoint: Path) -> None:
        (checkpoint / name).write_bytes((checkpoint.with_name("checkpoint-2") / name).read_bytes())

    return damage


def old(checkpoint: Path) -> None:
    """The mark of an earlier release, which was empty."""
    (checkpoint / MARK).write_bytes(b"")


def then(*damages: Callable[[Path], None]) -> Callable[[Path], None]:
    def damage(checkpoint: Path) -> None:
        for one in damages:
            one(checkpoint)

    return damage


WEIGHTS = "adapter_model.safetensors"
DAMAGES = [
    pytest.param(zero(WEIGHTS), f"{WEIGHTS} has other bytes", id="zeroed weights"),
    pytest.param(zero("optimizer.pt"), "optimizer.pt has other bytes", id="zeroed optimizer"),
    pytest.param(flipped(WEIGHTS), f"{WEIGHTS} has other bytes", id="one bit of the weights"),
    pytest.param(flipped("rng_state.pth"), "rng_state.pth has other bytes", id="one bit of the generators"),
    pytest.param(of_another_step("scheduler.pt"), "scheduler.pt has other bytes", id="another step's scheduler"),
    pytest.param(cut(WEIGHTS), f"{WEIGHTS} has", id="weights cut short"),
    pytest.param(cut("optimizer.pt", 0), "optimizer.pt has 0 bytes", id="empty optimizer"),
    pytest.param(cut("trainer_state.json"), "trainer_state.json has", id="trainer's state cut short"),
    pytest.param(missing(WEIGHTS), f"{WEIGHTS} is missing", id="no weights"),
    pytest.param(missing("optimizer.pt"), "optimizer.pt is missing", id="no optimizer"),
    pytest.param(missing("scheduler.pt"), "scheduler.pt is missing", id="no scheduler"),
    pytest.param(missing("rng_state.pth"), "rng_state.pth is missing", id="no generators"),
    pytest.param(cut(MARK), f"its mark {MARK} cannot be read", id="mark cut short"),
    pytest.param(zero(MARK), f"its mark {MARK} cannot be read", id="zeroed mark"),
    pytest.param(then(old, missing("optimizer.pt")), "optimizer* is missing", id="old, no optimizer"),
    pytest.param(then(old, cut(WEIGHTS)), f"{WEIGHTS} is cut short", id="old, weights cut short"),
    pytest.param(then(old, zero("optimizer.pt")), "optimizer.pt is cut short", id="old, zeroed optimizer"),
    pytest.param(then(old, cut("trainer_state.json")), "trainer_state.json is cut short", id="old, state cut"),
]


@pytest.mark.parametrize(("damage", "reason"), DAMAGES)
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(
    trained: Trained,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    damage: Callable[[Path], None],
    reason: str,
):
    checkpoints = shutil.copytree(trained.out / "checkpoints", tmp_path / "checkpoints")
    found = last_complete(checkpoints)
    assert found is not None
    assert found.step == 3
    damage(checkpoints / "checkpoint-3")
    with caplog.at_level(logging.WARNING):
        found = last_complete(checkpoints)
    assert found is not None
    assert found.step == 2
    [line] = caplog.messages
    assert f"checkpoint-3 is damaged ({reason}" in line
    assert "checkpoint-2 is taken" in line


def test_a_run_resumes_from_the_checkpoint_before_to_the_same_weights(trained: Trained, tmp_path: Path):
    out = trained.copy(tmp_path / "out")
    zero(WEIGHTS)(out / "checkpoints" / "checkpoint-3")
    status, said = trained.again(out)
    assert status == 0, said
    assert f"checkpoint-3 is damaged ({WEIGHTS} has other bytes" in said
    assert "Resumes from step 2" in said
    assert weights(out) == weights(trained.out)
    assert exact(out) == exact(trained.out)
    assert find_damage(out / "checkpoints" / "checkpoint-3") is None


def test_a_run_without_any_whole_checkpoint_says_what_to_type_and_loses_nothing(trained: Trained, tmp_path: Path):
    out = trained.copy(tmp_path / "out")
    for checkpoint in (out / "checkpoints").iterdir():
        cut("optimizer.pt")(checkpoint)
    before = sorted(path.name for path in (out / "checkpoints").rglob("*"))
    status, said = trained.again(out)
    assert status == 1
    assert "Traceback" not in said
    assert "No checkpoint in" in said
    assert f"rm -r {out / 'checkpoints'}" in said
    assert sorted(path.name for path in (out / "checkpoints").rglob("*")) == before


def test_checkpoints_of_an_earlier_release_resume_and_the_log_says_what_is_not_checked(
    trained: Trained, tmp_path: Path
):
    out = trained.copy(tmp_path / "out")
    shutil.rmtree(out / "checkpoints" / "checkpoint-3")
    old(out / "checkpoints" / "checkpoint-2")
    status, said = trained.again(out)
    assert status == 0, said
    assert "checkpoint-2 has no checksums" in said
    assert weights(out) == weights(trained.out)


def test_a_damaged_model_is_refused_by_all_who_read_it_and_made_again_by_the_run(trained: Trained, tmp_path: Path):
    out = trained.copy(tmp_path / "out", done=True)
    read_run(out).model_arguments("hf")
    zero(WEIGHTS)(out / "model")
    zero("model.safetensors")(out / "merged")
    for model in ("hf", "vllm"):
        with pytest.raises(UserError, match="is damaged"):
            read_run(out).model_arguments(model)
    for merged in (False, True):
        with pytest.raises(UserError, match="is damaged"):
            model_facts(
                out,
                repo="org/x",
                license_="mit",
                base_model="org/base",
                training_data="org/texts",
                data_run=lambda _: {},
                merged=merged,
            )
    status, said = trained.again(out, "--merge")
    assert status == 0, said
    assert f"{out / 'model'} is damaged" in said
    assert f"{out / 'merged'} is damaged" in said
    assert weights(out) == weights(trained.out)
    merged_model = "merged/model.safetensors"
    assert (out / merged_model).read_bytes() == (trained.out / merged_model).read_bytes()


def test_a_damaged_model_whose_checkpoint_is_damaged_too(trained: Trained, tmp_path: Path):
    out = trained.copy(tmp_path / "out", done=True)
    zero(WEIGHTS)(out / "model")
    zero(WEIGHTS)(out / "checkpoints" / "checkpoint-3")
    status, said = trained.again(out)
    assert status == 1
    assert "checkpoint-3, from which the model is made, is damaged" in said
    assert "Traceback" not in said


def test_weights_that_are_no_numbers_at_the_last_step_end_the_run(trained: Trained, tmp_path: Path):
    # The first step warms up and changes nothing; the last one's loss is taken before its update.
    broken = ("--set", "steps=2", "--set", "warmup_steps=1", "--set", "learning_rate=1.0e+39")
    out = tmp_path / "out"
    status, said = trained.again(out, *broken, "--set", "max_grad_norm=0")
    assert status == 1
    assert "Traceback" not in said
    assert "Weights are not finite after step 2, so the training diverged" in said
    assert not (out / "result.json").exists()
    kept = last_complete(out / "checkpoints")
    assert kept is not None
    assert kept.step == 1
    assert [line["step"] for line in read_log(out / "log.jsonl")] == [1, 2]


def test_a_disk_that_is_full_at_a_checkpoint_ends_the_run_and_keeps_the_last_one(trained: Trained, tmp_path: Path):
    out = trained.copy(tmp_path / "out")
    shutil.rmtree(out / "checkpoints" / "checkpoint-3")
    largest = max((out / "checkpoints" / "checkpoint-2").iterdir(), key=lambda path: path.stat().st_size)
    process = trained.server.start(*trained.arguments, "--out", str(out))
    limit = largest.stat().st_size - 1
    resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (limit, limit))
    status, said = process.wait(), process.said()
    assert status == 1, said
    assert "Traceback" not in said, said
    assert "free space" in said
    kept = last_complete(out / "checkpoints")
    assert kept is not None
    assert kept.step == 2
    status, said = trained.again(out)
    assert status == 0, said
    assert weights(out) == weights(trained.out)


def test_marks_hold_the_size_and_hash_of_every_file(trained: Trained):
    for place in (trained.out / "model", trained.out / "merged", trained.out / "checkpoints" / "checkpoint-3"):
        names = {path.name for path in place.iterdir()} - {MARK}
        assert json.loads((place / MARK).read_text())["files"].keys() == names
