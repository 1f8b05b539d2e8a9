"""`skillmix calibrate` and `skillmix correct`, end to end with judges behind HTTP."""

from __future__ import annotations

import csv
import json
import shutil
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.metrics import cohen_kappa_score
from typer.testing import CliRunner

from grading import JudgeSpec, UserError
from grading.panel import panel_record
from grading.protocol.untrusted import shown
from skillmix_tasks.calibration.correction import ErrorRates
from skillmix_tasks.calibration.record import Calibration, load_calibration
from skillmix_tasks.calibration.reference_answers import RecordedAnswer, read_answers
from skillmix_tasks.calibration.reference_metrics import reference_metrics
from skillmix_tasks.cli import app
from tests.servers.chat import ChatServer
from tests.servers.judge import flipped
from tests.skillmix_tasks.made_record import run_record

pytestmark = pytest.mark.slow

REPLAY, NOISY = "judge-replay", "judge-noisy"
FLIPS = 0.2


@pytest.fixture
def answers(checkout: Path) -> list[RecordedAnswer]:
    return read_answers(checkout)[0]


@pytest.fixture
def server(
    chat_server: ChatServer, answers: list[RecordedAnswer], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    """Judges who know what GPT-4 said; one of them says the contrary now and then."""
    told = {shown(answer.request.answer): answer.earned for answer in answers}
    assert len(told) == len(answers)
    chat_server.set(recorded=told, flips={NOISY: FLIPS}, models=[REPLAY, NOISY])
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("SKILLMIX_JUDGE_BASE_URL", chat_server.base_url)
    return chat_server


def skillmix(*arguments: str | Path) -> str:
    return CliRunner().invoke(app, [str(one) for one in arguments], catch_exceptions=False).stdout


def calibrate(checkout: Path, out: Path, *arguments: str | Path) -> Calibration:
    skillmix("calibrate", "--reference", checkout, "-o", out, *arguments)
    return load_calibration(str(out))


def test_a_judge_that_repeats_gpt_4_is_interchangeable(
    server: ChatServer, checkout: Path, answers: list[RecordedAnswer], tmp_path: Path
):
    found = calibrate(checkout, tmp_path / "out", "--judge", REPLAY)
    assert found.verdict == "interchangeable"
    assert found.answers == len(answers)
    assert found.undecided == {}
    assert found.repeat.value == 1
    for kind, of in found.by_kind.items():
        both_classes = 0 < of.both < of.decisions
        assert (of.kappa.value, of.kappa.state) == ((1, "unvaried") if both_classes else (None, "one_class")), kind
        assert (of.agreement.value, of.judge_only, of.reference_only) == (1, 0, 0)
    assert found.by_kind["all"].kappa.value == 1
    # The metrics by GPT-4's verdicts are those of the reference's own script.
    plain = {(one.student, one.k): one for one in reference_metrics(checkout).metrics if not one.deducted}
    assert {(shift.student, shift.k) for shift in found.shifts} == plain.keys()
    for shift in found.shifts:
        for metric, one in shift.metrics.items():
            assert one.yardstick == one.judge == pytest.approx(getattr(plain[shift.student, shift.k], metric))
            assert one.shift.value == 0
    assert server.counts().received["judge"] == 3 * len(answers)
    card = (tmp_path / "out" / "calibration.md").read_text()
    assert found.sentence in card
    assert server.base_url not in card + (tmp_path / "out" / "calibration.json").read_text()
    # Once more costs nothing and says the same.
    assert calibrate(checkout, tmp_path / "again", "--judge", REPLAY) == found
    assert server.counts().received["judge"] == 3 * len(answers)


def test_a_noisy_judge_is_measured_as_by_hand(
    server: ChatServer, checkout: Path, answers: list[RecordedAnswer], tmp_path: Path
):
    found = calibrate(checkout, tmp_path / "out", "--judge", NOISY, "--votes", "1")
    pairs = [
        [
            (earned, earned != flipped(shown(answer.request.answer), criterion, FLIPS))
            for criterion, earned in answer.earned.items()
        ]
        for answer in answers
    ]
    truth, judged = zip(*(pair for of in pairs for pair in of), strict=True)
    every = found.by_kind["all"]
    assert every.decisions == len(truth)
    assert every.kappa.value == pytest.approx(cohen_kappa_score(truth, judged))
    assert every.agreement.value == pytest.approx(np.mean(np.equal(truth, judged)))
    kappas, agreements = resampled(pairs)
    assert (every.kappa.low, every.kappa.high) == pytest.approx(np.quantile(kappas, (0.025, 0.975)), abs=0.04)
    assert (every.agreement.low, every.agreement.high) == pytest.approx(
        np.quantile(agreements, (0.025, 0.975)), abs=0.015
    )
    topic = [of[-2] for of in pairs]
    assert found.by_kind["topic"].agreement.value == pytest.approx(np.mean([one == other for one, other in topic]))
    assert found.verdict == "not usable"
    assert "kappa is below 0.6" in found.sentence
    assert found.repeat.state == "nothing"  # one vote each


def resampled(pairs: list[list[tuple[bool, bool]]], draws: int = 1000) -> tuple[list[float], list[float]]:
    """Kappa and agreement of answers drawn again and again."""
    rng = np.random.default_rng(4)
    kappas, agreements = [], []
    for _ in range(draws):
        table = np.array([pair for place in rng.integers(len(pairs), size=len(pairs)) for pair in pairs[place]])
        agreement, (one, other) = np.mean(table[:, 0] == table[:, 1]), table.mean(axis=0)
        chance = one * other + (1 - one) * (1 - other)
        agreements.append(agreement)
        kappas.append((agreement - chance) / (1 - chance))
    return kappas, agreements


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_a_panel_and_each_of_its_judges(server: ChatServer, checkout: Path, tmp_path: Path):
    votes = ("--judge", REPLAY, "--judge", NOISY, "--votes", "1")
    found = calibrate(checkout, tmp_path / "out", *votes)
    asked = server.counts().received["judge"]
    assert [member.name for member in found.members] == [REPLAY, NOISY]
    assert found.members[0].by_kind["all"].kappa.value == 1
    noisy = found.members[1].by_kind["all"]
    # With one vote each they split in halves wherever they differ, and what is decided is right.
    assert found.undecided == {"tied": noisy.judge_only + noisy.reference_only}
    assert found.by_kind["all"].agreement.value == 1
    assert found.verdict == "not usable"
    assert asked == 2 * found.answers
    card = (tmp_path / "out" / "calibration.md").read_text()
    assert f"- {found.members[1].sentence}" in card


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_a_cap_leaves_it_unsettled_and_the_next_run_goes_on(server: ChatServer, checkout: Path, tmp_path: Path):
    votes = ("--judge", REPLAY, "--votes", "1")
    found = calibrate(checkout, tmp_path / "out", *votes, "--max-tokens", "6000")
    assert found.verdict == "not settled"
    assert found.undecided["over_budget"] > 0
    before = server.counts().received["judge"]
    assert 0 < before < found.answers
    assert calibrate(checkout, tmp_path / "out", *votes).verdict == "interchangeable"
    assert server.counts().received["judge"] == found.answers


def label(sheet: Path, *people: tuple[str, float], fill: float = 1.0) -> None:
    """Fill in a sheet for people who contradict GPT-4 with a probability each; `fill` is the share of answers."""
    with sheet.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file))
    filled: list[dict[str, str]] = []
    last = {row["generation"] + row["item"] + row["student"]: number for number, row in enumerate(rows)}
    within = sorted(last.values())[: round(fill * len(last))]
    for number, row in enumerate(rows):
        if number <= within[-1]:
            for name, contrary in people:
                key = "-".join(row[column] for column in ("student", "k", "generation", "item", "criterion"))
                told = number % 3 != 0
                filled.append(row | {"person": name, "earned": str(int(told != flipped(key, name, contrary)))})
    with sheet.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(filled)


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_people_in_the_place_of_gpt_4(server: ChatServer, checkout: Path, tmp_path: Path):
    sheet = tmp_path / "labels.csv"
    skillmix("reference", "sheet", checkout, "-o", sheet)
    label(sheet, ("Ann", 0.0), ("Bo", 0.1), ("Cy", 0.2), fill=0.5)
    found = calibrate(checkout, tmp_path / "out", "--judge", REPLAY, "--votes", "1", "--labels", sheet)
    assert (found.yardstick, found.answers, found.split) == ("people", 36, 0)
    assert server.counts().received["judge"] == 36
    between = {pair.persons: pair.agreement for pair in found.people}
    assert set(between) == {("Ann", "Bo"), ("Ann", "Cy"), ("Bo", "Cy")}
    rows = list(csv.DictReader(sheet.open(encoding="utf-8", newline="")))
    said = {name: [row["earned"] for row in rows if row["person"] == name] for name in ("Ann", "Bo", "Cy")}
    for (one, other), of in between.items():
        assert of.decisions == len(said[one])
        assert of.kappa.value == pytest.approx(cohen_kappa_score(said[one], said[other]))
    # The judge is measured by the majority.
    majority: list[bool] = [
        Counter(votes).most_common(1)[0][0] == "1" for votes in zip(*said.values(), strict=True)
    ]
    every = found.by_kind["all"]
    assert every.both + every.reference_only == sum(majority)
    assert "| Ann and Bo |" in (tmp_path / "out" / "calibration.md").read_text()


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_labels_that_cannot_be_used_are_one_sentence(
    server: ChatServer, checkout: Path, answers: list[RecordedAnswer], tmp_path: Path
):
    sheet = tmp_path / "labels.csv"
    skillmix("reference", "sheet", checkout, "-o", sheet)
    empty = sheet.read_text()
    key = ",".join(empty.splitlines()[1].split(",")[:7])  # up to the criterion s1 of the first answer
    head = "student,k,seed,version,generation,item,criterion,person,earned\n"
    for text, said in (
        (empty, "hold no verdict"),
        ("student,k\nx,2\n", "lack the column seed, version"),
        (head + f"{key},Ann,yes\n", "row 2: it needs a person, and under earned 0 or 1, not 'yes'"),
        (head + f"{key},,1\n", "row 2: it needs a person"),
        (head + f"{key},Ann,1\n{key},Ann,0\n", "row 3: Ann has decided this criterion before"),
        (head + f"{key},Ann,1\n{key},Bo,0\n", "divided on all 1 criteria"),
        (head + f"nobody{key},Ann,1\n", "row 2: no answer of the reference has this key"),
        (head + f"{key.replace('s1', 's9')},Ann,1\n", "row 2: no answer of the reference has this key"),
    ):
        sheet.write_text(text)
        with pytest.raises(UserError, match=said):
            calibrate(checkout, tmp_path / "out", "--judge", REPLAY, "--labels", sheet)
    with pytest.raises(UserError, match="exists and may hold labels"):
        skillmix("reference", "sheet", checkout, "-o", sheet)
    with pytest.raises(UserError, match="cannot be read"):
        calibrate(checkout, tmp_path / "out", "--judge", REPLAY, "--labels", tmp_path / "none.csv")
    assert server.counts().received["judge"] == 0


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_mistakes_cost_nothing(server: ChatServer, checkout: Path, tmp_path: Path):
    (tmp_path / "file").write_text("")
    for arguments, said in (
        (("--reference", tmp_path / "none", "--judge", REPLAY), "There is no folder"),
        (("--reference", checkout.parent, "--judge", REPLAY), "has no topics.txt beside its gradings"),
        (("--reference", checkout, "--judge", "judge-none"), "judge-none"),
        (("--reference", checkout, "--judge", REPLAY, "--judge", REPLAY), "names a judge twice"),
        (("--reference", checkout, "--judge", REPLAY, "--votes", "2"), "odd"),
        (("--reference", checkout, "--judge", REPLAY, "-o", tmp_path / "file"), "cannot be used as a folder"),
    ):
        with pytest.raises(UserError, match=said):
            skillmix("calibrate", *arguments)
    assert server.counts().received["judge"] == 0


def results_of(judge: dict[str, Any], full_marks: float, items: int) -> dict[str, Any]:
    """What lm-eval writes of one task, as far as a correction reads it; one item more has no verdict."""
    values = {"full_marks,none": full_marks, "all_skills,none": full_marks, "coverage,none": items / (items + 1)}
    return {
        "results": {"skillmix_k3": values},
        "configs": {
            "skillmix_k3": {
                "metadata": run_record(
                    judge=judge | {"refused_parameters": []},
                    grading={"spent": {"prompt_tokens": 9, "completion_tokens": 3, "dollars": 2.5}},
                )
            }
        },
        "n-samples": {"skillmix_k3": {"original": items + 1, "effective": items + 1}},
    }


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_a_corrected_score_stands_beside_the_raw_one(server: ChatServer, checkout: Path, tmp_path: Path):
    found = calibrate(checkout, tmp_path / "out", "--judge", NOISY, "--votes", "1")
    rates = ErrorRates(both=24, judge_only=6, reference_only=6, neither=24)
    large = found.model_copy(update={"errors": {"full_marks": rates, "all_skills": found.errors["all_skills"]}})
    path, results = tmp_path / "large.json", tmp_path / "results.json"
    path.write_text(large.model_dump_json())
    results.write_text(json.dumps(results_of(found.judge, 0.41, 100)))
    full_marks, all_skills = json.loads(skillmix("correct", results, "--calibration", path, "--json"))
    assert (full_marks["raw"], full_marks["units"]) == (0.41, 100)
    assert full_marks["value"] == pytest.approx((0.41 + 0.8 - 1) / 0.6)
    assert full_marks["low"] < full_marks["value"] < full_marks["high"]
    assert (all_skills["raw"], all_skills["value"]) == (0.41, None)  # two dozen made-up items are not enough
    assert "needs 10 of each" in all_skills["refused"]
    text = skillmix("correct", results, "--calibration", path)
    assert "skillmix_k3 full_marks: raw 0.41 on 100 items; corrected 0.35 (" in text
    assert "all_skills: raw 0.41 on 100 items; no correction\n" in text
    assert "No correction of all_skills: the calibration could use" in text
    assert "next  " in text
    assert "cost      nothing now; the runs spent $2.50 (12 tokens)" in text
    none = CliRunner().invoke(app, ["correct", str(results), "--calibration", str(tmp_path / "out")])
    assert none.exit_code == 1  # nothing was corrected
    assert none.stdout.count(": the calibration could use") == 2
    assert "next  " not in none.stdout


@pytest.mark.parametrize("checkout", ["made"], indirect=True)
def test_a_correction_needs_the_judge_of_the_calibration(server: ChatServer, checkout: Path, tmp_path: Path):
    found = calibrate(checkout, tmp_path / "out", "--judge", NOISY, "--votes", "1")
    path, results = tmp_path / "out" / "calibration.json", tmp_path / "results.json"
    other = panel_record([JudgeSpec(model=NOISY, base_url=server.base_url, votes=3)])
    for content, said in (
        (
            json.dumps(results_of(other, 0.4, 100)),
            "was judged by judge-noisy, and the calibration is of judge-noisy",
        ),
        (json.dumps(results_of(found.judge, 0.4, 0)), "no item with a verdict"),
        (json.dumps({"results": {}, "configs": {}, "n-samples": {}}), "no results of a judged SKILL-MIX task"),
        ("[]", "is not a results file"),
        ("{", "it is cut short, or no JSON"),
    ):
        results.write_text(content)
        with pytest.raises(UserError, match=said):
            skillmix("correct", results, "--calibration", path)
    beside = tmp_path / "beside.json"
    results.write_text(json.dumps(results_of(other, 0.4, 100)))
    beside.write_text(json.dumps(results_of(found.judge, 0.4, 100)))
    done = CliRunner().invoke(app, ["correct", str(results), str(beside), "--calibration", str(path)])
    assert f"Left out: skillmix_k3 in {results} was judged by judge-noisy" in done.stdout
    assert done.stdout.count("raw 0.40 on 100 items") == 2  # full marks and all skills, of the other file
    with pytest.raises(UserError, match="is not a calibration"):
        skillmix("correct", results, "--calibration", results)
    with pytest.raises(UserError, match="cannot be read"):
        skillmix("correct", results, "--calibration", tmp_path / "none.json")


def test_an_answer_that_was_not_the_graded_one_is_named(made: Path, tmp_path: Path):
    copy = Path(shutil.copytree(made, tmp_path / "copy"))
    records = copy / "test/k2_s7_vdefault_r1/student-a/records.csv"
    records.write_text(records.read_text().replace("tale 3 in round 1", "tale 4 in round 1"))
    (copy / "test/k2_s7_vdefault_r2/student-a/records.csv").unlink()
    (copy / "topics.txt").write_text((copy / "topics.txt").read_text().replace("Bread", "Cake"))
    found, faults = read_answers(copy)
    said = "\n".join(map(str, faults))
    assert "row 4: it is not the answer that was graded" in said
    assert "k2_s7_vdefault_r2/student-a/records.csv: it cannot be read" in said
    assert "skills.csv or topics.txt does not have 'Bread'" in said
    assert 0 < len(found) < 72
