"""Several data sets in one training, whole or by a number of rows."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from grading.models.judge import default_judge
from tests.tiny_model import write_tiny_model
from tests.training.making import items, row_of, write_rows
from tests.training.tuning import TrainServer, exact, signal_at, train_arguments, weights, write_recipe
from training.data.dataset import build_dataset
from training.data.rows import rows_file
from training.data.source import judge_options, open_data


@pytest.fixture(scope="module")
def texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("texts")
    write_rows(folder, {1: 30, 2: 25})
    build_dataset(folder, validation=0.1)
    return folder


@pytest.fixture(scope="module")
def more(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("more")
    write_rows(folder, {4: 12})
    build_dataset(folder, validation=0)
    return folder


def test_one_data_set_is_opened_and_recorded_as_before(texts: Path):
    data = open_data([str(texts)], "k1", 0)
    assert data.record() == {"name": texts.name, "revision": None, "config": "k1"}
    assert set(data.train["k"]) == {1}
    assert data.validation is not None


@pytest.mark.parametrize(
    ("judge", "environment", "named"),
    [
        ({"model": "m", "endpoint": "openai"}, {}, "--judge m"),
        ({"model": "m", "endpoint": "openai-compatible"}, {}, "--judge m --judge-base-url URL"),
        ({"model": "m", "endpoint": "openai-compatible"}, {"BASE_URL": "http://127.0.0.1:9/v1"}, "--judge m"),
        ({"model": "/m", "endpoint": "transformers"}, {}, "--judge hf:/m"),
        ({"panel": [{"model": one, "endpoint": "openai"} for one in "mn"]}, {}, "--judge m --judge n"),
        ({"model": "m", "endpoint": "openai"}, {"MODEL": "n"}, ""),
        (None, {}, f"--judge {default_judge()}"),
    ],
)
def test_the_judge_of_the_texts_is_named_to_the_next_command(
    judge: Any, environment: dict[str, str], named: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for name in ("MODEL", "BASE_URL"):
        monkeypatch.setenv(f"SKILLMIX_JUDGE_{name}", environment.get(name, ""))
    if judge is not None:
        (tmp_path / "run.json").write_text(json.dumps({"judge": judge}))
    assert " ".join(judge_options([f"{tmp_path}:k1=5"])) == named


def test_rows_of_another_data_set_are_added(texts: Path, more: Path):
    data = open_data([str(texts), f"{more}:k4=5"], "k1-2", 0)
    whole = open_data([str(texts)], "k1-2", 0)
    assert len(data.train) == len(whole.train) + 5
    assert data.train["id"][: len(whole.train)] == whole.train["id"][:]
    assert data.validation is not None
    assert whole.validation is not None
    assert len(data.validation) == len(whole.validation)  # the other one holds none back
    assert data.record()["parts"] == [
        {"name": texts.name, "revision": None, "config": "k1-2", "rows": len(whole.train)},
        {"name": more.name, "revision": None, "config": "k4", "rows": 5},
    ]
    found = data.leaks(("skillmix_k1",))
    assert found.rows == 30 + 25 + 12
    assert not found.leaks


def test_the_draw_is_seeded_and_a_larger_one_holds_a_smaller_one(texts: Path):
    def ids(given: str, seed: int = 0) -> list[str]:
        return list(open_data([given], None, seed).train["id"])

    ten = ids(f"{texts}:k1-2=10")
    assert ten == ids(f"{texts}:k1-2=10")
    assert set(ten) < set(ids(f"{texts}:k1-2=20"))
    assert ten != ids(f"{texts}:k1-2=10", seed=1)
    every = ids(f"{texts}:k1-2")
    assert [name for name in every if name in ten] == ten  # in their order
    assert {int(k) for k in open_data([f"{texts}:k1-2=20"], None, 0).train["k"]} == {1, 2}


@pytest.mark.parametrize(
    ("ending", "sentence"),
    [
        ("=1000", r"requests 1,000 rows of \d+: give a number from 1 to \d+"),
        ("=0", "requests 0 rows of"),
        (":k7", "has no config 'k7', it has k1, k2, k1-2"),
        ("-missing:k1=5", "There is no data set .*-missing: name a directory"),
    ],
)
def test_what_cannot_be_drawn_is_said(texts: Path, ending: str, sentence: str):
    with pytest.raises(UserError) as refused:
        open_data([f"{texts}{ending}"], None, 0)
    assert re.search(sentence, str(refused.value))


def test_data_that_does_not_go_together_is_refused(texts: Path, tmp_path: Path):
    with pytest.raises(UserError, match="is given twice"):
        open_data([str(texts), str(texts)], None, 0)
    other = tmp_path / "plain"
    other.mkdir()
    (other / "train.jsonl").write_text('{"text": "only text"}\n')
    with pytest.raises(UserError, match="not all of them have the column messages"):
        open_data([str(texts), str(other)], None, 0)


def write_short_rows(folder: Path, k: int, number: int) -> None:
    folder.mkdir(exist_ok=True)
    rows = [row_of(item, prompt1="Write.", prompt2="Better, please.") for item in items(k, number)]
    rows_file(folder, k).write_text("".join(row.line() for row in rows), encoding="utf-8")
    build_dataset(folder, validation=0)


@pytest.mark.slow
def test_a_training_on_several_resumes_and_notices_changed_data(server: TrainServer, tmp_path: Path):
    pytest.importorskip("trl")
    write_tiny_model(tmp_path / "model")
    recipe = write_recipe(tmp_path / "recipe.yaml", tmp_path / "model", steps=8, save_steps=2)
    write_short_rows(tmp_path / "first", 1, 12)
    write_short_rows(tmp_path / "second", 2, 12)
    second = ("--data", f"{tmp_path / 'second'}:k2=5")

    def start(out: Path):
        return server.start(*train_arguments(recipe, tmp_path / "first", out, *second))

    unbroken, broken = tmp_path / "unbroken", tmp_path / "broken"
    whole = start(unbroken)
    assert whole.wait() == 0, whole.said()
    record = json.loads((unbroken / "run.json").read_text())["data"]
    assert record["rows"] == 17
    assert record["name"] == "first + second"
    assert [part["rows"] for part in record["parts"]] == [12, 5]
    killed = start(broken)
    signal_at(5, broken, [killed], signal.SIGKILL)
    assert killed.wait() == -signal.SIGKILL
    assert start(broken).wait() == 0
    assert exact(broken) == exact(unbroken)
    assert weights(broken) == weights(unbroken)

    write_short_rows(tmp_path / "first", 1, 13)
    refused = start(broken)
    assert refused.wait() == 1
    assert "with another data set (--data)" in refused.said()
    assert "rows 18, was 17" in refused.said()
