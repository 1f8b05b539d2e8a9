"""The tables and claims of a made-up experiment whose answers are known, checked by hand."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

import skillmix
from grading import UserError
from tests.training.experiment.made import one, shares, write_task
from tests.training.test_experiment import small
from training.experiment.claims import verdict_of
from training.experiment.measured import BASE, TEACHER, Measured, TaskKey, read_scores
from training.experiment.spec import load_experiment
from training.experiment.steps import measured
from training.experiment.tables import table_specs, write_tables
from training.texts.counts import Counts, KindCounts, Tally

pytestmark = pytest.mark.slow

MISTRAL = "mistralai/Mistral-7B-Instruct-v0.2"
LLAMA = "meta-llama/Llama-2-13b-chat-hf"
ARMS = ("D(1)", "D(1,2)", "D(1,2,3)", "8000 of D(1,2,3)", "D(1,2,3) + D(4)")
SECOND = "judge-2"


def records(folder: Path, name: str, **wanted: Any) -> list[dict[str, str]]:
    with (folder / f"{name}.csv").open(encoding="utf-8", newline="") as file:
        return [
            row for row in csv.DictReader(file) if all(row[key] == str(value) for key, value in wanted.items())
        ]


def full(folder: Path, name: str, **wanted: Any) -> dict[str, str]:
    [found] = records(folder, name, metric="full_marks", **wanted)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tables of an experiment with one seed of Mistral, two of LLaMA, two judges and a teacher."""
    root = tmp_path_factory.mktemp("experiment")
    measured: list[Measured] = []

    def add(model: str, arm: str, seed: int | None = None, judge: str = "judge-1", **marks: Any) -> None:
        measured.append(one(root, model, arm, seed, judge))
        for task, earned in marks.items():
            split, _, k = task.partition("_k")
            folder = measured[-1].results / task
            write_task(folder, earned, split=split, k=int(k), judge=judge)  # type: ignore[arg-type]

    add(MISTRAL, BASE, heldout_k3=shares(8, 100), heldout_k4=shares(0, 100), all_k4=shares(2, 50))
    add(MISTRAL, "D(1)", 0, heldout_k3=shares(20, 100), heldout_k4=shares(4, 100))
    add(MISTRAL, "D(1,2)", 0, heldout_k3=shares(21, 100), heldout_k4=shares(4, 100))
    add(MISTRAL, "D(1,2,3)", 0, heldout_k3=shares(49, 100), heldout_k4=shares(18, 100), all_k4=shares(9, 50))
    add(MISTRAL, "8000 of D(1,2,3)", 0, heldout_k3=shares(5, 100), heldout_k4=shares(1, 100))
    add(LLAMA, BASE, heldout_k3=[None, *shares(4, 99)])
    add(LLAMA, "D(1,2,3)", 0, heldout_k3=shares(30, 100))
    add(LLAMA, "D(1,2,3)", 1, heldout_k3=shares(40, 100))
    add("the-teacher", TEACHER, heldout_k3=shares(66, 100), heldout_k4=shares(48, 100))
    # The second judge agrees on the first ten, of which it finds three in another answer.
    measured.append(one(root, MISTRAL, "D(1,2,3)", 0, SECOND))
    write_task(
        measured[-1].results, shares(10, 100), split="heldout", k=3, judge=SECOND, second_generation=[True] * 3
    )
    # Common skills dropped, and an older result of the same task.
    folder = measured[3].results / "dropped"
    write_task(folder, shares(6, 40), k=5, drop_common=True)
    write_task(folder / "old", shares(40, 40), k=5, drop_common=True, date="2025-01-01T00-00-00.000000")

    texts = root / "texts"
    texts.mkdir()
    counts = Counts(kinds={1: KindCounts(tally=Tally(attempted=50, decided=40, accepted=30))})
    (texts / "counts.json").write_text(counts.model_dump_json())
    out = root / "tables"
    written = write_tables(measured, arms=ARMS, out=out, conclusive=True, texts=[texts])
    assert sorted(written) == sorted(out.iterdir())
    (out / "measured.json").write_text(json.dumps([[*map(str, vars(entry).values())] for entry in measured]))
    return out


def test_every_table_is_there_in_every_form(made: Path):
    numbers = [1, *(spec.number for spec in table_specs())]
    assert numbers == [1, 2, 3, 4, 5, 6, 7, 11, 12]
    for number in numbers:
        for ending in ("md", "csv", "png"):
            assert (made / f"table-{number}.{ending}").stat().st_size
    for name in ("figure-2-Mistral-7B-Instruct-v0.2", "figure-2-Llama-2-13b-chat-hf"):
        assert (made / f"{name}.png").read_bytes().startswith(b"\x89PNG")
        drawing = (made / f"{name}.svg").read_text()
        assert "the-teacher (teacher)" in drawing
        assert "D(1,2,3)" in drawing
    text = (made / "figure-2.md").read_text()
    assert "![Figure 2](figure-2-Mistral-7B-Instruct-v0.2.png)" in text
    assert "| the-teacher | teacher | held-out | 0.66 [0.56, 0.75] / - |" in text


def test_table_3_by_hand(made: Path):
    text = (made / "table-3.md").read_text()
    assert text.startswith("# Table 3. Held-out skills and held-out topics\n")
    assert "is inferred, and may be wrong" in text
    # Wilson: 8 of 100 is .041 to .150, 49 of 100 .394 to .587, 0 of 100 0 to .037.
    name = r"mistralai/Mistral-7B-Instruct-v0.2"
    assert f"| {name} | base | held-out | 0.08 [0.04, 0.15] / 0.08 | 0.00 [0.00, 0.04] / - |" in text
    assert f"| {name} | D(1,2,3) | held-out | 0.49 [0.39, 0.59] / 0.49 | 0.18 [0.12, 0.27] / - |" in text
    assert f"| {name} | D(1,2) | held-out | 0.21 [0.14, 0.30] / - |" in text
    assert "0.04 [0.02, 0.10] (99 of 100 items) / 0.04" in text
    # An item without full marks lacks one of three skills: 49 + 51 * 2/3 of 100.
    [fraction] = records(made, "table-3", metric="skill_fraction", model=MISTRAL, training="D(1,2,3)", k=3)
    assert float(fraction["value"]) == pytest.approx(0.83)
    row = full(made, "table-3", model=MISTRAL, training="base", k=3)
    assert (row["value"], row["items"], row["asked"], row["paper"]) == ("0.08", "100", "100", "0.08")
    assert float(row["error"]) == pytest.approx((0.08 * 0.92 / 99) ** 0.5)


def test_seeds_are_joined(made: Path):
    row = full(made, "table-3", model=LLAMA, training="D(1,2,3)", k=3)
    assert (row["value"], row["seeds"], row["paper"]) == ("0.35", "2", "0.37")
    # 30 items are 1, 10 are 1/2, 60 are 0; the trainings are .3 and .4.
    items = (30 * 0.65**2 + 10 * 0.15**2 + 60 * 0.35**2) / 99 / 100
    assert float(row["error"]) == pytest.approx((items + 0.005 / 2) ** 0.5)
    assert float(row["low"]) < 0.25
    assert float(row["high"]) > 0.45


def test_judges_common_skills_and_texts(made: Path):
    own = full(made, "table-5", judge=SECOND, model=MISTRAL, training="D(1,2,3)", split="heldout", k=3)
    assert own["value"] == "0.1"
    assert (
        f"| {SECOND} | mistralai/Mistral-7B-Instruct-v0.2 | base | held-out | - |"
        in (made / "table-5.md").read_text()
    )
    # Three of the ten are in another answer than the first judge's.
    both = full(made, "table-6", model=MISTRAL, training="D(1,2,3)", split="heldout", k=3)
    assert (both["value"], both["items"]) == ("0.07", "100")
    assert "7 of 100 = 0.07 [0.03, 0.14]" in (made / "table-6.md").read_text()
    dropped = full(made, "table-7", model=MISTRAL, training="D(1,2,3)", split="all")
    assert (dropped["k"], dropped["value"], dropped["items"]) == ("5", "0.15", "40")
    first = (made / "table-1.md").read_text()
    assert "| 1 | 50 / 5,000 | 30 / - | 0.75 [0.60, 0.86] |" in first
    assert "| 3 | - / 10,000 | - / - | - |" in first
    assert "| all | - | 30 / 13,957 | - |" in first
    only = {row["training"] for row in records(made, "table-11")}
    assert only == {"D(1,2)", "D(1,2,3)", "8000 of D(1,2,3)"}
    assert "Nothing of this table was measured." not in (made / "table-11.md").read_text()
    assert "Nothing of this table was measured." in (made / "table-2.md").read_text()


def test_claims_by_hand(made: Path):
    [k4] = records(made, "claims", claim="larger k", model=MISTRAL, k=4)
    # 18 + 7 items better, none worse.
    assert (k4["items"], k4["verdict"]) == ("150", "supported")
    assert float(k4["effect"]) == pytest.approx(25 / 150)
    assert float(k4["p"]) == pytest.approx(2 * 0.5**25)
    [k5] = records(made, "claims", claim="larger k", model=MISTRAL, k=5)
    assert (k5["verdict"], k5["items"]) == ("not measured", "")
    [order] = records(made, "claims", claim="order", model=MISTRAL, first="D(1)")
    # One item of 200 differs, which is p = 1.
    assert (order["verdict"], float(order["p"])) == ("not settled", 1)
    assert int(order["items_to_settle"]) > 200
    [fewer] = records(made, "claims", claim="fewer texts", model=MISTRAL)
    assert fewer["verdict"] == "contradicted"
    assert float(fewer["p"]) == pytest.approx(2 * 0.5**19)
    [heldout] = records(made, "claims", claim="held-out", model=LLAMA)
    assert (heldout["items"], heldout["first_value"]) == ("99", str(4 / 99))
    tests = records(made, "claims")
    ps = sorted((float(row["p"]), float(row["p_holm"])) for row in tests if row["p"])
    assert ps[0][1] == pytest.approx(ps[0][0] * len(ps))
    text = (made / "claims.md").read_text()
    assert "beat all of D(1,2). | contradicted |" in text
    assert "| D(1,2,3) beats D(1,2), which beats D(1). | not measured |" in text
    assert "With one seed a verdict is on this training" in text
    whole = json.loads((made / "tables.json").read_text())
    assert whole["conclusive"]
    assert [table["name"] for table in whole["tables"]][:2] == ["Claims", "Table 1"]


def test_a_run_that_proves_the_chain_gets_no_verdict(tmp_path: Path):
    base, trained = one(tmp_path, "tiny", BASE), one(tmp_path, "tiny", "D(1,2,3)", 0)
    for entry, marks in ((base, shares(0, 60)), (trained, shares(60, 60))):
        for k in (4, 5):
            write_task(entry.results / str(k), marks, k=k)
    write_tables([base, trained], arms=["D(1,2,3)"], out=tmp_path / "out", conclusive=False)
    text = (tmp_path / "out" / "claims.md").read_text()
    for word in ("| supported |", "| contradicted |", "| not settled |"):
        assert word not in text
    assert "No verdict: this run only proves the chain." in text
    assert {row["verdict"] for row in records(tmp_path / "out", "claims")} == {""}
    assert verdict_of([]) == "not measured"


def test_a_base_alone_has_tables_and_no_test(tmp_path: Path):
    base = one(tmp_path, "tiny", BASE)
    write_task(base.results, shares(1, 3), k=2)
    write_tables([base], arms=[], out=tmp_path / "out", conclusive=True)
    assert "| not measured |" in (tmp_path / "out" / "claims.md").read_text()
    assert "0.33 [0.06, 0.79] / -" in (tmp_path / "out" / "table-4.md").read_text()


def other_rules(folder: Path) -> None:
    write_task(folder, shares(1, 3), k=2, turns=1)


def other_judge(folder: Path) -> None:
    write_task(folder, shares(1, 3), k=2, judged={"votes": 1})


def no_samples(folder: Path) -> None:
    write_task(folder, shares(1, 3), k=2)
    next(folder.glob("samples_*")).unlink()


def cut_short(folder: Path) -> None:
    write_task(folder, shares(1, 3), k=2)
    [samples] = folder.glob("samples_*")
    samples.write_text("".join(samples.read_text().splitlines(keepends=True)[:2]))


def not_judged(folder: Path) -> None:
    folder.mkdir()


@pytest.mark.parametrize(
    ("write", "sentence"),
    [
        (other_rules, r"differ in turns \(2 and 1\), so their scores are not comparable"),
        (other_judge, r"differ in judge votes \(3 and 1\), so their scores are not comparable"),
        (no_samples, "has no samples of skillmix_k2 beside it"),
        (cut_short, "has 2 items and .* states 3"),
        (not_judged, "holds no judged results"),
    ],
)
def test_results_that_do_not_compare(write: Callable[[Path], None], sentence: str, tmp_path: Path):
    base, trained = one(tmp_path, "tiny", BASE), one(tmp_path, "tiny", "D(1)", 0)
    write_task(base.results, shares(1, 3), k=2)
    write(trained.results)
    with pytest.raises(UserError, match=sentence):
        write_tables([base, trained], arms=["D(1)"], out=tmp_path / "out", conclusive=True)


def test_judges_of_other_answers(tmp_path: Path):
    first, second = one(tmp_path, "tiny", BASE), one(tmp_path, "tiny", BASE, None, SECOND)
    write_task(first.results, shares(1, 3), k=2)
    write_task(second.results, shares(1, 3), k=2, judge=SECOND, answer="Another")
    with pytest.raises(UserError, match="did not judge the same answers of tiny"):
        write_tables([first, second], arms=[], out=tmp_path / "out", conclusive=True)
    with pytest.raises(UserError, match="no results yet"):
        write_tables([], arms=[], out=tmp_path / "out", conclusive=True)
    with pytest.raises(UserError, match="holds no counts"):
        write_tables([first], arms=[], out=tmp_path / "out", conclusive=True, texts=[tmp_path])


def test_the_newest_result_of_a_task_counts(tmp_path: Path):
    write_task(tmp_path / "a", shares(2, 2), k=2, date="2026-02-01T00-00-00.000000")
    write_task(tmp_path / "b", shares(0, 2), k=2)
    [scores] = (read_scores(tmp_path)[TaskKey("all", 2, False)].scores.values(),)
    assert [one.full_marks for one in scores if one] == [1, 1]


def test_the_command_finds_results_and_texts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any):
    file = tmp_path / "experiment.yaml"
    file.write_text(yaml.safe_dump(small(ks=[2], seeds=[0, 1])))
    out = tmp_path / "out"
    wanted = measured(load_experiment(file), out)
    assert [(entry.arm, entry.seed) for entry in wanted] == [(BASE, None), ("D(1)", 0), ("D(1)", 1)]
    texts = out / "texts" / "made"
    texts.mkdir(parents=True)
    (texts / "counts.json").write_text(Counts().model_dump_json())

    def tables() -> str:
        monkeypatch.setattr(sys, "argv", ["skillmix", "tables", str(file), "--out", str(out)])
        with pytest.raises(SystemExit) as ended:
            skillmix.main()
        assert not ended.value.code
        return str(capsys.readouterr().out)

    for entry in wanted[:2]:
        write_task(entry.results / "all" / "judge-1", shares(1, 4), k=2)
    assert "1 of 3 results are missing, so no claim gets a verdict.\n" in tables()
    assert "| no verdict |" in (out / "tables" / "claims.md").read_text()
    write_task(wanted[2].results / "all" / "judge-1", shares(3, 4), k=2)
    assert f"open {out / 'tables' / 'claims.md'}" in tables()
    # D(1,2,3) is no arm of this experiment.
    assert "| not measured |" in (out / "tables" / "claims.md").read_text()
    row = full(out / "tables", "table-4", training="D(1)")
    assert (row["value"], row["seeds"]) == ("0.5", "2")
