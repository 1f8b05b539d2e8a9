from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import datasets
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grading import UserError
from tests.training.making import items, row_of, write_rows
from training.data.dataset import build_dataset, config_names, validation_ids
from training.data.mix import Mix
from training.data.rows import FEATURES, rows_file

ROOT = Path(__file__).parents[2]


def load(folder: Path, config: str | None, cache: Path) -> datasets.DatasetDict:
    return datasets.load_dataset(str(folder), config, cache_dir=str(cache))


def ids(rows: Iterable[dict[str, Any]]) -> list[str]:
    return [row["id"] for row in rows]


def contents(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes() for file in sorted(folder.rglob("*")) if file.is_file()
    }


def test_configs_of_ks():
    assert list(config_names([3, 1, 2])) == ["k1", "k2", "k3", "k1-2", "k1-2-3"]
    assert config_names([4]) == {"k4": (4,)}
    assert list(config_names([2, 4, 10])) == ["k2", "k4", "k10", "k2-4", "k2-4-10"]


@pytest.mark.slow
def test_load_dataset_gives_each_config(tmp_path: Path):
    rows = write_rows(tmp_path / "out", {1: 30, 2: 60, 3: 12})
    made = build_dataset(tmp_path / "out", validation=0.1)
    assert [config.name for config in made] == ["k1", "k2", "k3", "k1-2", "k1-2-3"]
    sides: dict[str, str] = {}
    for config in made:
        loaded = load(tmp_path / "out", config.name, tmp_path / "cache")
        assert {split: len(part) for split, part in loaded.items()} == config.splits
        found: list[str] = []
        for split, part in loaded.items():
            assert part.features == FEATURES
            for name in ids(part):
                assert sides.setdefault(name, split) == split
            found += ids(part)
        assert sorted(found) == sorted(row.id for row in rows if row.k in config.ks)
    assert load(tmp_path / "out", None, tmp_path / "cache")["train"].num_rows == made[-1].splits["train"]
    assert "validation" not in made[2].splits  # 12 rows are too few
    by_id = {row.id: row.record() for row in rows}
    for row in load(tmp_path / "out", "k1-2-3", tmp_path / "cache")["train"]:
        assert json.dumps(row) == json.dumps(by_id[row["id"]])


@pytest.mark.slow
def test_datasets_reads_the_rows_that_are_there_and_not_those_of_an_earlier_folder_of_this_name(tmp_path: Path):
    for name, number, seed in (("a/texts", 25, 0), ("b/texts", 25, 1), ("b/texts", 24, 2), ("a/texts", 25, 3)):
        rows = [row_of(item) for item in items(2, number, seed)]
        (tmp_path / name).mkdir(parents=True, exist_ok=True)
        rows_file(tmp_path / name, 2).write_text("".join(row.line() for row in rows), encoding="utf-8")
        build_dataset(tmp_path / name)
        loaded = load(tmp_path / name, "k2", tmp_path / "cache")
        assert {one for part in loaded.values() for one in ids(part)} == {row.id for row in rows}


@pytest.mark.slow
def test_plain_datasets_reads_it_offline_in_a_process_of_its_own(tmp_path: Path):
    write_rows(tmp_path / "out", {1: 25, 2: 25})
    build_dataset(tmp_path / "out")
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import datasets; d = datasets.load_dataset('out', 'k1-2'); print({k: len(v) for k, v in d.items()})",
        ],
        cwd=tmp_path,
        env={"HF_HUB_OFFLINE": "1", "HF_HOME": str(tmp_path / "home")},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "{'train': 48, 'validation': 2}\n"


@pytest.mark.slow
def test_the_same_rows_give_the_same_bytes_wherever_they_are(tmp_path: Path):
    text = tmp_path / "text.txt"
    text.write_text("\n\n".join(f"Paragraph {number}." for number in range(200)))
    for number, name in enumerate(("one", "a/longer/name")):
        write_rows(tmp_path / name, {1: 25, 2: 25})
        script = (
            "import sys; from pathlib import Path; from training.data.dataset import build_dataset, Mix\n"
            "build_dataset(Path(sys.argv[1]), mix=Mix(Path(sys.argv[2]), 0.3))"
        )
        subprocess.run(
            [sys.executable, "-c", script, tmp_path / name, text],
            cwd=ROOT,
            env={"PYTHONHASHSEED": str(number), "PYTHONPATH": str(ROOT), "TZ": f"UTC-{number}"},
            check=True,
        )
    one, two = contents(tmp_path / "one"), contents(tmp_path / "a/longer/name")
    assert one == two
    assert len(one) == 9
    assert not any(str(tmp_path).encode() in content for content in one.values())


def test_a_second_data_set_takes_the_place_of_the_first(tmp_path: Path):
    write_rows(tmp_path, {1: 3, 2: 3})
    build_dataset(tmp_path)
    rows_file(tmp_path, 2).unlink()
    build_dataset(tmp_path)
    assert sorted(path.name for path in (tmp_path / "data").iterdir()) == ["k1"]
    assert not list(tmp_path.glob(".data*"))


@pytest.mark.parametrize("number", [19, 20, 21, 500])
def test_validation_is_small_and_stays(number: int):
    names = [f"item-{place}" for place in range(number)]
    held = validation_ids(names, seed=0, share=0.02)
    if number < 20:
        assert not held
    else:
        assert 1 <= len(held) <= 0.02 * number + 3 * (0.02 * number) ** 0.5
        assert held <= set(names)
    assert validation_ids(names, seed=0, share=0) == frozenset()


def test_what_was_held_back_stays_so_when_there_are_more_rows():
    names = [f"item-{place}" for place in range(3000)]
    some, more = (validation_ids(names[:number], seed=3, share=0.02) for number in (1500, 3000))
    assert some == more & set(names[:1500])
    assert more != validation_ids(names, seed=4, share=0.02)


def texts(number: int) -> list[str]:
    return [f"Text {place}, of some length.\nWith “two” lines." for place in range(number)]


def write_source(folder: Path, form: str) -> Path:
    source = folder / f"source{form}"
    own = texts(300)
    if form == ".txt":
        source.write_text("\n\n".join(own), encoding="utf-8")
    elif form == ".jsonl":
        lines = [json.dumps({"text": text, "meta": 1}) for text in [*own, "  "]]  # a blank one is passed over
        source.write_text("\n".join(lines), encoding="utf-8")
    elif form == ".parquet":
        pq.write_table(pa.table({"text": own}), source)
    elif form == "-saved":
        datasets.DatasetDict({"train": datasets.Dataset.from_dict({"text": own})}).save_to_disk(str(source))
    else:
        source.mkdir()
        pq.write_table(pa.table({"text": own[:150]}), source / "train-0.parquet")
        pq.write_table(pa.table({"text": own[150:]}), source / "train-1.parquet")
    return source


@pytest.mark.parametrize("form", [".txt", ".jsonl", ".parquet", "-saved", "-folder"])
@pytest.mark.slow
def test_pre_training_text_is_mixed_into_train(tmp_path: Path, form: str):
    write_rows(tmp_path / "out", {1: 30, 2: 60})
    source = write_source(tmp_path, form)
    made = {config.name: config for config in build_dataset(tmp_path / "out", mix=Mix(source, 0.25))}
    whole = load(tmp_path / "out", "k1-2", tmp_path / "cache")
    mixed = {row["text"]: row for row in whole["train"] if row["source"] == "mix"}
    assert len(mixed) == round((90 - len(whole["validation"])) / 3)  # all different: none is drawn twice
    assert set(mixed) <= set(texts(300))
    assert {row["source"] for row in whole["validation"]} == {"generated"}
    for row in mixed.values():
        assert (row["messages"], row["k"], row["turns"], row["topic"]["id"]) == ([], 0, 0, "")
    # Each quarter of the split has its share.
    quarter = len(whole["train"]) // 4
    for start in range(0, 4 * quarter, quarter):
        some = whole["train"][start : start + quarter]["source"]
        assert abs(some.count("mix") - quarter / 4) <= 1
    small = load(tmp_path / "out", "k1", tmp_path / "cache")["train"]
    assert {row["text"] for row in small if row["source"] == "mix"} < set(mixed)
    assert made["k1"].splits["train"] == len(small)
    readme = (tmp_path / "out" / "README.md").read_text()
    assert "share 0.25" in readme
    build_dataset(tmp_path / "out", mix=Mix(source, 0.25), seed=1)
    other = pq.read_table(tmp_path / "out/data/k1-2/train-00000-of-00001.parquet").column("text").to_pylist()
    assert set(other) - {""} != set(mixed)


@pytest.mark.parametrize(
    ("name", "content", "sentence"),
    [
        ("few.txt", "One.\n\nTwo.", r"few.txt has 2 texts, and a share of 0.5 needs 20: give more text"),
        ("other.jsonl", '{"body": "x"}\n', r"has no column `text` with text in it: it has body"),
        ("broken.jsonl", '{"text": "x"}\nno json\n' * 50, r"The text in .*broken.jsonl cannot be read"),
        ("broken.parquet", "no parquet", r"The text in .*broken.parquet cannot be read"),
        ("text.csv", "text\nx\n", r"text.csv has no known form: name a file .txt"),
        (None, "", r"There is no .*absent: --mix takes"),
    ],
)
def test_text_that_cannot_be_mixed_in(tmp_path: Path, name: str | None, content: str, sentence: str):
    write_rows(tmp_path, {1: 20})
    if name:
        (tmp_path / name).write_text(content)
    with pytest.raises(UserError, match=sentence):
        build_dataset(tmp_path, validation=0, mix=Mix(tmp_path / (name or "absent"), 0.5))
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.glob(".data*"))


def test_numbers_that_are_no_shares(tmp_path: Path):
    for share in (0, 1, -0.5, 7):
        with pytest.raises(UserError, match="between 0 and 1"):
            Mix(tmp_path, share)
    with pytest.raises(UserError, match="share of the rows for validation"):
        build_dataset(tmp_path, validation=1)


def test_without_rows_there_is_no_data_set(tmp_path: Path):
    rows_file(tmp_path, 1).touch()
    with pytest.raises(UserError, match="holds no accepted texts"):
        build_dataset(tmp_path)
