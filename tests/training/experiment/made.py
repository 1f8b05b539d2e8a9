"""A made-up experiment: results as lm-eval writes them, with full marks that are known."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from skillmix_tasks.items.pack import Split
from skillmix_tasks.scoring.metrics import METRICS, item_metrics
from skillmix_tasks.stored.samples import Generation
from tests.skillmix_tasks.made_record import run_record
from training.experiment.measured import Measured

DATE = "2026-01-01T00-00-00.000000"


def write_task(
    folder: Path,
    marks: Sequence[bool | None],
    *,
    k: int,
    split: Split = "all",
    judge: str = "judge-1",
    drop_common: bool = False,
    date: str = DATE,
    second_generation: Sequence[bool] = (),
    answer: str = "A text",
    **record: Any,
) -> None:
    """One results file with one task: item i has full marks if `marks[i]`, and no verdict if that is None.

    The first of its three answers earns them, or the second where `second_generation` says so; the others lack a
    skill.
    """
    task = f"skillmix{'' if split == 'all' else '_' + split}_k{k}"
    second = [*second_generation, *[False] * len(marks)]
    samples = [
        _sample(task, split, k, number, mark, 1 if second[number] else 0, answer)
        for number, mark in enumerate(marks)
    ]
    covered = [sample for sample in samples if sample["coverage"]]
    scores = {
        f"{name},none": sum(sample[name] for sample in known) / len(known) if known else None
        for names, known in ((METRICS, covered), (("coverage", "full_marks_low", "full_marks_high"), samples))
        for name in names
    }
    metadata = run_record(
        k=k,
        split=split,
        drop_common=drop_common,
        judge={"model": judge, "votes": 3} | record.pop("judged", {}),
        **record,
    )
    results = {
        "results": {task: scores | {"sample_len": len(samples)}},
        "configs": {task: {"metadata": {"version": "1.1"} | metadata}},
    }
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"results_{date}.json").write_text(json.dumps(results))
    lines = "".join(json.dumps(sample) + "\n" for sample in samples)
    (folder / f"samples_{task}_{date}.jsonl").write_text(lines)


def _sample(
    task: str, split: Split, k: int, number: int, mark: bool | None, place: int, answer: str
) -> dict[str, Any]:
    generations = [
        _generation(k, mark is True and one == place, mark is None, f"{answer} {number}.{one}") for one in range(3)
    ]
    scores = item_metrics([generation.points for generation in generations])
    return {
        "doc": {"index": number, "item": f"item-{number}", "hash": f"{task}-{number}", "k": k, "split": split},
        "resps": [["Answer: a text"]] * 3,
        "filtered_resps": [generation.model_dump_json() for generation in generations],
        **scores,
    }


def _generation(k: int, full: bool, lost: bool, answer: str) -> Generation:
    points: dict[str, bool | None] = {f"s{skill}": True for skill in range(1, k + 1)}
    points["s1"] = None if lost else full
    points |= {"topic": True, "sense": True, "length": True}
    states = {"s1": "parse_failed"} if lost else {}
    return Generation(
        answer=answer, sentences=1, void=None, lost_in_code={}, points=points, states=states, votes=[]
    )


def shares(full: int, of: int) -> list[bool]:
    """`full` items with full marks, then the others."""
    return [True] * full + [False] * (of - full)


def one(folder: Path, model: str, arm: str, seed: int | None = None, judge: str = "judge-1") -> Measured:
    """A folder of results, still to be written."""
    name = f"{judge}-{model}-{arm}-{seed}".replace("/", "-")
    return Measured(model, arm, seed, judge, folder / name)
