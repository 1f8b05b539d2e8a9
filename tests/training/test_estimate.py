"""What `skillmix estimate` says the paper's data, training and evaluation will take."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grading import UserError, resolve_judge
from grading.cost.estimate import COMPLETION_PER_CRITERION
from skillmix import app, mount
from skillmix_tasks.scoring.metrics import GENERATIONS
from training.estimate import Estimate, Part, estimate, estimate_judging
from training.texts.plan import Plan, load_plan, own_plan, scaled
from training.texts.teacher import resolve_teacher
from training.tune.recipe import load_recipe

JUDGE = "gpt-4.1-2025-04-14"


def told(plan: Plan, recipe: str = "mistral-7b-instruct-paper", judge: str = JUDGE, **options: Any) -> Estimate:
    return estimate(plan, resolve_teacher(JUDGE), [resolve_judge(judge)], load_recipe(recipe), **options)


@pytest.fixture(scope="module")
def paper() -> list[Part]:
    return told(load_plan("paper")).parts


def test_the_papers_plan(paper: list[Part]):
    texts, training, evaluation = paper
    # The plan says 5,000 with k = 1, for which the pack has 4,555 cells.
    assert texts.work == "24,555 tries with k = 1, 2, 3 (4,555 + 10,000 + 10,000)"
    # Two replies of the teacher's and three votes with 3 to 5 criteria of the judge's, for each try.
    assert texts.usage.completion == pytest.approx(2 * 24_555 * 250 + 90 * (3 * 4555 + 4 * 10_000 + 5 * 10_000))
    assert texts.dollars == pytest.approx((2 * texts.usage.prompt + 8 * texts.usage.completion) / 1e6)
    assert [(one.role, one.k) for one in texts.calls] == [
        (who, k) for who in ("teacher", "judge") for k in (1, 2, 3)
    ]
    for one in texts.calls:
        tries = 4555 if one.k == 1 else 10_000
        assert one.usage.completion == tries * (500 if one.role == "teacher" else 90 * (one.k + 2))
    assert [one.k for one in evaluation.calls] == [2, 3, 4, 5]
    assert (texts.gpu_hours, training.dollars) == (0, 0)
    # 4,000 steps of 64 rows, each of which holds two prompts and two replies.
    assert training.work.startswith("256,000 rows of about ")
    row = int(training.work.split()[4])
    assert 2 * 250 < row < 1024
    assert training.gpu_hours == pytest.approx(256_000 * row / 6667 / 3600, rel=0.01)
    # Three groups of k = 2 to 5, 100 items, 3 generations, 2 models.
    assert evaluation.work.startswith("7,200 answers to 12 tasks")
    assert evaluation.usage.completion == pytest.approx(7200 / 4 * 90 * (4 + 5 + 6 + 7))


def test_it_grows_with_the_plan_and_the_model(paper: list[Part]):
    small = told(scaled(load_plan("paper"), 0.1), "llama-2-13b-chat-paper", tasks=["skillmix_k2"], items=10).parts
    assert small[0].dollars == pytest.approx((paper[0].dollars or 0) / 10, rel=0.03)
    assert small[1].gpu_hours == pytest.approx((paper[1].gpu_hours or 0) * 13 / 7.2, rel=0.01)
    assert small[2].work.startswith("60 answers to 1 task, ")
    # At an acceptance of 67 %, 670 texts take 1,000 tries; of k = 5 20 % are thought to be accepted.
    assert told(own_plan([1, 5], 670)).parts[0].work == "4,350 tries with k = 1, 5 (1,000 + 3,350)"


def test_what_is_known_is_added_and_what_is_missing_is_named(paper: list[Part]):
    found = told(load_plan("paper"), judge="local-example")
    texts = found.parts[0]
    assert texts.dollars is None
    assert found.dollars == pytest.approx(sum(one.dollars or 0 for one in texts.calls if one.role == "teacher"))
    assert found.dollars > 100
    [spec] = found.unpriced
    text = found.text()
    assert f"In all: ${found.dollars:,.2f} without the judge {spec.model}; " in text
    assert found.record()["unpriced"] == [spec.model]


def test_a_price_is_given_as_the_estimate_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def both() -> Estimate:
        teacher = resolve_teacher("my teacher", base_url="http://localhost:8000/v1")
        return estimate(own_plan([2], 670), teacher, [resolve_judge(JUDGE)], None)

    said = both().text()
    assert "the price is not known" in said
    local = resolve_judge("my-judge", base_url="http://localhost:8000/v1")
    neither = estimate(own_plan([2], 5), resolve_teacher("t", base_url="http://localhost:8000/v1"), [local], None)
    assert "In all: not known without the price of the teacher t, the judge my-judge." in neither.text()
    file = tmp_path / "prices.yaml"
    head, found, rows = said.partition("  prices:\n")
    assert found
    assert "SKILLMIX_PRICES" in head
    file.write_text(f"prices:\n{rows.splitlines()[0]}\n".replace("DOLLARS", "1.5"))
    monkeypatch.setenv("SKILLMIX_PRICES", str(file))
    priced = both()
    assert priced.unpriced == []
    tokens = priced.parts[0].calls[0].usage
    assert priced.parts[0].calls[0].dollars == pytest.approx(1.5e-6 * (tokens.prompt + tokens.completion))
    assert "SKILLMIX_PRICES" not in priced.text()


@pytest.mark.slow
def test_what_is_not_known_is_said(paper: list[Part]):
    recipe = load_recipe("mistral-7b-instruct-paper", ["model=my/own"])
    unknown = estimate(load_plan("paper"), resolve_teacher(JUDGE), [resolve_judge(JUDGE)], recipe)
    assert "GPU hours are not known (one H100" in unknown.text()
    assert told(load_plan("paper"), judge="hf:own").parts[2].dollars == 0
    with pytest.raises(UserError, match="There is no task 'skillmix_k9'"):
        told(load_plan("paper"), tasks=["skillmix_k9"])


def test_it_names_the_assumptions_that_it_used():
    def alone(plan: Plan) -> str:
        return estimate(plan, resolve_teacher(JUDGE), [resolve_judge(JUDGE)], None).text()

    tried = alone(load_plan("paper"))  # ends by its tries
    assert "tokens in a reply" in tried
    for word in ("accepted", "GPU", "tokens a second", "training"):
        assert word not in tried
    accepted = alone(own_plan([2, 5], 67))
    assert "accepted 67% with k = 2, 20% with k = 5 (" in accepted
    assert "% with k = 1" not in accepted
    trained = told(load_plan("paper")).text()
    assert "in training 6,667 (full; " in trained
    assert "lora" not in trained


def test_texts_alone_need_no_recipe(paper: list[Part]):
    alone = estimate(load_plan("paper"), resolve_teacher(JUDGE), [resolve_judge(JUDGE)], None)
    assert alone.parts == paper[:1]
    with pytest.raises(UserError, match="name its recipe, too"):
        estimate(load_plan("paper"), resolve_teacher(JUDGE), [resolve_judge(JUDGE)], None, tasks=["skillmix_k2"])


def test_an_experiment_takes_no_other_option():
    mount()
    done = CliRunner().invoke(app, ["estimate", "reproduce/tiny.yaml", "--votes", "3", "--k", "1"])
    assert isinstance(done.exception, UserError)
    assert "says what --votes and --k would: leave the options out" in str(done.exception)


def test_a_number_of_items_needs_the_recipe():
    mount()
    done = CliRunner().invoke(app, ["estimate", "--plan", "paper", "--teacher", JUDGE, "--items", "5"])
    assert "name them with --tasks, or a recipe with --recipe" in str(done.exception)


def test_judging_alone_is_proportional_to_the_items():
    judge = resolve_judge(JUDGE)
    few, many = (
        estimate_judging([judge], pack_name="language", tasks=["skillmix_k4"], items=items).parts[0].usage
        for items in (100, 300)
    )
    assert many.completion == 3 * few.completion
    assert (
        few.completion == 100 * GENERATIONS * judge.votes * (4 + 2) * COMPLETION_PER_CRITERION
    )  # code counts sentences
    mount()
    done = CliRunner().invoke(app, ["estimate", "--tasks", "skillmix_k4", "--judge", JUDGE, "--items", "300"])
    assert done.exit_code == 0
    assert done.stdout.startswith("Judging: 900 answers to 1 task")
