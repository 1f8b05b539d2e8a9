"""Looking through files of stored answers: what is whole, and what is said of what is not."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from skillmix_tasks.stored.places import StoredTask, find_answers, runs_in

GENERATIONS = 3


def sample(index: int, replies: list[Any], task: str = "skillmix_k2", private: bool = False) -> dict[str, Any]:
    document = {"task": task, "index": index, "hash": f"hash{index}", "private": private}
    return {"doc": document, "resps": replies}


def replies(turns: int = 2, generations: int = GENERATIONS) -> list[list[str]]:
    # A line separator stands in a text without ending its line of the file.
    return [
        [f"Turn {turn}\u2028of {generation} – ä" for turn in range(turns)] for generation in range(generations)
    ]


@pytest.fixture
def write(tmp_path: Path) -> Callable[..., Path]:
    def to(name: str, *samples: dict[str, Any]) -> Path:
        path = tmp_path / name
        path.write_text("".join(json.dumps(one, ensure_ascii=False) + "\n" for one in samples), encoding="utf-8")
        return path

    return to


def found(*paths: Path) -> list[StoredTask]:
    return find_answers(paths, GENERATIONS)


def test_replies_are_read_where_they_stand(write):
    path = write("a.jsonl", sample(2, replies()), sample(0, replies(1), "skillmix_k3"), sample(1, replies()))
    other = write("b.jsonl", sample(0, replies()))
    k2, k3 = found(path, other)
    assert (k2.task, k2.turns, k2.in_order()) == ("skillmix_k2", 2, ["hash0", "hash1", "hash2"])
    assert (k3.task, k3.turns, k3.in_order()) == ("skillmix_k3", 1, ["hash0"])
    assert k2.replies(["hash2", "hash0"]) == {
        (name, generation): tuple(replies()[generation]) for name in ("hash2", "hash0") for generation in range(3)
    }


@pytest.mark.parametrize(
    ("samples", "sentence"),
    [
        ([sample(0, replies()), sample(0, replies())], "two answers in generation 0"),
        ([sample(0, replies(generations=2))], "has 2 of its 3 generations"),
        ([sample(0, replies(generations=4))], "has 3 generations, numbered from 0"),
        ([sample(0, replies()), sample(1, replies(1))], "one turn and some two"),
        ([sample(0, [["a"], [None], ["c"]])], "line 1, is not a sample"),
        ([sample(0, replies()), sample(1, ["a", "b", "c"])], "line 2, is not a sample"),
        ([sample(0, replies(), private=True)], "private pack"),
    ],
)
def test_what_is_not_whole_is_refused(write, samples, sentence):
    with pytest.raises(UserError, match=sentence):
        found(write("a.jsonl", *samples))


def test_a_file_that_changes_meanwhile_is_noticed(write):
    [task] = found(write("a.jsonl", sample(0, replies()), sample(1, replies())))
    write("a.jsonl", sample(5, replies()), sample(1, replies()))
    assert task.replies(["hash1"])
    with pytest.raises(UserError, match="changed while they were graded"):
        task.replies(["hash0"])
    task.path.unlink()
    with pytest.raises(UserError, match=r"a\.jsonl cannot be read \(No such file"):
        task.replies(["hash1"])


def test_a_folder_is_sorted_into_runs(tmp_path: Path):
    lines = {
        "one/samples_skillmix_k2_1.jsonl": sample(0, replies()),
        "one/samples_skillmix_k3_1.jsonl": sample(0, replies(), task="skillmix_k3"),
        "one/samples_skillmix_k2_2.jsonl": sample(0, replies()),
        "one/samples_skillmix_k4_3.jsonl": sample(0, replies(), task="skillmix_k4"),  # another evaluation's
        "two/samples_skillmix_k2_1.jsonl": sample(0, replies()),
        "two/samples_skillmix_k2_3.jsonl": sample(0, replies(turns=1)),
        "two/samples_arc_easy_1.jsonl": {"doc": {"question": "?"}},
        "two/notes.jsonl": "no sample",
    }
    for name, line in lines.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(json.dumps(line) + "\n")
    runs = runs_in([tmp_path])
    assert [[str(path.relative_to(tmp_path)) for path in files] for files in runs] == [
        ["one/samples_skillmix_k2_1.jsonl", "one/samples_skillmix_k3_1.jsonl"],
        ["one/samples_skillmix_k2_2.jsonl"],
        ["one/samples_skillmix_k4_3.jsonl"],
        ["two/samples_skillmix_k2_1.jsonl"],
        ["two/samples_skillmix_k2_3.jsonl"],
    ]
    assert runs_in([tmp_path / "one" / "samples_skillmix_k2_1.jsonl"]) == [runs[0][:1]]
    with pytest.raises(UserError, match="There is no file or folder"):
        runs_in([tmp_path / "none"])
