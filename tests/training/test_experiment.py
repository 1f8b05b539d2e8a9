"""An experiment's file: what is refused before anything runs, and the steps that it becomes."""

from __future__ import annotations

import json
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml

from grading import UserError
from training.experiment.spec import Experiment, load_experiment, slug
from training.experiment.steps import Step, measured, steps, students

REPRODUCE = Path(__file__).parents[2] / "reproduce"


def small(**changes: Any) -> dict[str, Any]:
    fields: dict[str, Any] = {
        "teacher": {"model": "teacher-1", "base_url": "http://127.0.0.1:1/v1"},
        "judges": [{"model": "judge-1", "base_url": "http://127.0.0.1:1/v1"}],
        "texts": {"made": {"plan": "paper", "scale": 0.1}},
        "models": {"Small": {"recipe": "smollm2-135m-cpu", "gpus": 0}},
        "arms": {"D(1)": [{"texts": "made", "config": "k1"}]},
        "splits": ["all"],
        "ks": [1, 2],
    }
    return fields | changes


def load(folder: Path, **changes: Any) -> Experiment:
    file = folder / "experiment.yaml"
    file.write_text(yaml.safe_dump(small(**changes)), encoding="utf-8")
    return load_experiment(file)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"arms": {"D(1)": []}}, "the arm D(1) names no data: give it a list such as [{texts: NAME"),
        ({"arms": {"D(1)": [{"config": "k1"}]}}, "the arm D(1) names no data"),
        ({"arms": {"D(1)": [{"texts": "made", "data": "x"}]}}, "names the texts made and the data x in one entry"),
        ({"arms": {"D(1)": [{"texts": "other"}]}}, "the arm D(1) names the texts other, and `texts` has made"),
        (
            {"arms": {"D(4)": [{"texts": "made", "config": "k4"}]}},
            "takes the config k4 of the texts made, whose plan",
        ),
        ({"arms": {"D(1)": [{"texts": "made", "count": 0}]}}, "1 or more is expected, not 0"),
        ({"arms": {"base": [{"texts": "made"}]}}, "the arm base is always measured"),
        ({"arms": {"D(1)": [{"texts": "made"}], "d 1": [{"texts": "made"}]}}, "give the same folder d-1"),
        ({"models": {"Small": {"gpus": 1}}}, "the model Small has no recipe: add `recipe: NAME`"),
        ({"models": {"Small": {"recipe": "none"}}}, "There is no recipe 'none'"),
        ({"models": {"Small": {"recipe": "smollm2-135m-cpu", "set": {"stps": 1}}}}, "there is no field stps"),
        ({"texts": {"made": {"plan": "none"}}}, "There is no plan 'none'"),
        ({"texts": {"made": {"plan": "paper"}, "more": {"plan": "paper"}}}, "no arm uses the texts more"),
        ({"budget": 10}, "--max-usd needs the price of the judge judge-1, which is not known"),
        ({"ks": [9]}, "there is no task of the split all with k = 9 for the pack language"),
        ({"ks": [1, 1]}, "ks names 1 twice"),
        ({"settings": {"judge": "x"}}, "settings.judge is not a setting of an experiment"),
        ({"settings": {"item": 3}}, "There is no setting 'item'"),
        ({"judges": ["judge-1", {"model": "judge-1"}]}, "two judges have the same model id"),
        ({"seeds": []}, "seeds: the list is too short: 1 is the least"),
        ({"gpu": {"name": "H100"}}, "gpu.memory_gb: it is missing"),
        ({"epochs": 3}, "epochs: nothing reads a field of this name"),
    ],
)
def test_what_is_wrong_is_said_in_one_sentence(tmp_path: Path, changes: dict[str, Any], sentence: str):
    with pytest.raises(UserError) as refused:
        load(tmp_path, **changes)
    said = str(refused.value)
    assert said.startswith(f"The experiment {tmp_path / 'experiment.yaml'} is wrong")
    assert sentence in said
    assert "\n" not in said
    assert said.endswith(".")


def test_a_price_of_the_users_lets_a_budget_stand(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    prices = tmp_path / "prices.yaml"
    rows = [{"provider": "127.0.0.1", "model": name, "input": 1, "output": 2} for name in ("judge-1", "teacher-1")]
    prices.write_text(yaml.safe_dump({"prices": [{**row, "input": 1.0, "output": 2.0} for row in rows]}))
    monkeypatch.setenv("SKILLMIX_PRICES", str(prices))
    assert load(tmp_path, budget=10).budget == 10


def test_files_count_from_the_experiments_folder(tmp_path: Path):
    (tmp_path / "own.yaml").write_text("kinds: [{k: 1, skills: all, accept: 3}]\n")
    (tmp_path / "texts").mkdir()
    experiment = load(
        tmp_path,
        texts={"made": {"plan": "own.yaml"}},
        arms={"D(1)": [{"texts": "made"}], "found": [{"data": "texts", "config": "k2", "count": 5}]},
    )
    assert experiment.texts["made"].plan == str(tmp_path / "own.yaml")
    assert experiment.arms["found"][0].data == str(tmp_path / "texts")


def by_mark(name: str, out: str = "out") -> dict[str, Step]:
    file = REPRODUCE / name
    return {step.mark: step for step in steps(load_experiment(file), file, Path(out))}


def test_the_papers_steps():
    found = by_mark("paper.yaml")
    rules = [step.rule for step in found.values()]
    # Two models with five arms: each set of texts is made once, and each base model answers once.
    counted = {rule: rules.count(rule) for rule in dict.fromkeys(rules)}
    assert counted == {
        "estimate": 1, "texts": 2, "train": 10, "answers": 12, "judge": 24, "tables": 1, "report": 1,
    }  # fmt: skip
    assert all(need in found for step in found.values() for need in step.needs)
    # Nothing is paid for before the estimate.
    assert found["texts/paper"].needs == ("estimate/all",)
    assert found["answers/mistral-7b-instruct-v0.2--base"].needs == ("estimate/all",)
    mixed = found["train/llama-2-13b-chat--d-1-2-3-plus-d-4--seed0"]
    assert mixed.needs == ("estimate/all", "texts/paper", "texts/k4")
    words = shlex.split(mixed.command)
    assert [words[place + 1] for place, word in enumerate(words) if word == "--data"] == [
        "out/texts/paper:k1-2-3",
        "out/texts/k4:k4",
    ]
    assert (mixed.gpu, mixed.mem_mb, mixed.runtime, mixed.network) == (4, 256_000, 1440, 0)
    assert "accelerate.commands.launch" in mixed.command
    assert "--num_processes 4" in mixed.command
    sample = found["train/mistral-7b-instruct-v0.2--8000-of-d-1-2-3--seed0"].command
    assert "--data out/texts/paper:k1-2-3=8000" in sample
    judged = found["judge/claude-sonnet-4-6--mistral-7b-instruct-v0.2--base"]
    assert (judged.gpu, judged.network) == (0, 1)
    assert judged.command.count("SKILLMIX_BUDGET=out/budget") == 2  # also without very common skills
    assert "--max-usd 2000.0" in judged.command
    assert len(found["tables/all"].needs) == 24


def test_every_result_has_its_place():
    experiment = load_experiment(REPRODUCE / "paper.yaml")
    found = measured(experiment, Path("out"))
    assert len({one.results for one in found}) == len(found) == 24
    assert [student.name for student in students(experiment)][:2] == [
        "llama-2-13b-chat--base",
        "llama-2-13b-chat--d-1--seed0",
    ]
    tasks = experiment.tasks
    assert len(tasks) == 15
    assert {"skillmix_k1", "skillmix_train_k5", "skillmix_heldout_k3"} <= set(tasks)


@pytest.mark.parametrize("name", ["paper.yaml", "planning.yaml", "tiny.yaml"])
def test_the_experiments_that_come_with_it_are_valid(name: str):
    found = by_mark(name)
    assert found["tables/all"].command.endswith("--out out")
    json.dumps([step.record() for step in found.values()])


def test_slugs():
    assert slug("8000 of D(1,2,3)") == "8000-of-d-1-2-3"
    assert slug("D(1,2,3) + D(4)") == "d-1-2-3-plus-d-4"
    assert slug("Mistral-7B-Instruct-v0.2") == "mistral-7b-instruct-v0.2"
    assert slug("../..") == ""
