"""What a user names, in every right and wrong way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path

import pytest

from grading import UserError
from grading.safety.text import plain
from hub_cards.report.page.write import write_report
from hub_cards.report.results.parties import student_of
from hub_cards.report.results.runs import read_results
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.study import Study, make_study
from hub_cards.space import space
from skillmix_tasks.calibration.record import Calibration, load_calibration
from skillmix_tasks.stored.find_results import Found, find_results
from tests.hub_cards.made import make_calibration


def study(*arguments: Path | str, calibrations: Sequence[Calibration] = ()) -> Study:
    return make_study(find_results([str(one) for one in arguments]), corpus=Corpus(), calibrations=calibrations)


@pytest.fixture
def hostile(results: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the smallest results, to be spoiled."""
    copy = tmp_path / "hostile"
    shutil.copytree(results["hostile"], copy)
    return copy


def results_file(folder: Path) -> Path:
    [file] = folder.glob("**/results_*.json")
    return file


def samples_file(folder: Path) -> Path:
    [file] = folder.glob("**/samples_*.jsonl")
    return file


@pytest.mark.slow
def test_folders_files_samples_and_names_lead_to_the_same_results(hostile: Path):
    file = results_file(hostile)
    named = [str(one) for one in (hostile, file, samples_file(hostile))]
    assert [find_results([one]) for one in named] == [[Found(file, None)]] * 3
    assert len(find_results(named)) == 1
    assert find_results([f"my model={hostile}"])[0].label == "my model"
    assert study(f"my model={hostile}").measured[0].student == "my model"
    with pytest.raises(
        UserError, match=r"--before names the student mine, and these results are of my model: name one"
    ):
        make_study(find_results([f"my model={hostile}"]), corpus=Corpus(), before="mine")


@pytest.mark.parametrize(
    ("argument", "words"),
    [
        ("nowhere", "There is no file or folder nowhere"),
        ("=.", "empty name"),
        ("empty", "no results under empty"),
    ],
)
def test_what_leads_to_nothing(argument: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=words):
        find_results([argument])


@pytest.mark.parametrize(
    "text", ["no JSON", "[]", '{"configs": {"t": {"metadata": {"skillmix": {"judge": {}}}}}}']
)
def test_a_file_that_holds_no_results(text: str, tmp_path: Path):
    file = tmp_path / "results.json"
    file.write_text(text)
    with pytest.raises(UserError, match="is not a results file"):
        read_results(file)


@pytest.mark.parametrize("dollars", ["-485.63", "NaN", "1e999", "-Infinity", '"5"', "[5]"])
@pytest.mark.slow
def test_a_cost_that_is_none_is_named(dollars: str, hostile: Path):
    file = results_file(hostile)
    data = json.loads(file.read_text(encoding="utf-8"))
    grading = data["configs"]["skillmix_k2"]["metadata"]["skillmix"]["grading"]
    grading["spent"]["dollars"], grading["saved"]["dollars"] = json.loads(dollars), 0.0
    file.write_text(json.dumps(data), encoding="utf-8")
    with pytest.raises(UserError, match="is not a results file"):
        read_results(file)


def test_results_of_other_tasks_are_nothing_to_report(tmp_path: Path):
    file = tmp_path / "results.json"
    file.write_text('{"configs": {"arc": {"metadata": {"version": 1}}}, "results": {}}')
    with pytest.raises(UserError, match="nothing to report"):
        study(file)


@pytest.mark.slow
def test_samples_that_were_cut_short_or_belong_to_another_run(hostile: Path):
    file = samples_file(hostile)
    text = file.read_text(encoding="utf-8")
    file.write_text(text[: len(text) // 2], encoding="utf-8")
    with pytest.raises(UserError, match=r"Line \d of .* is not a sample"):
        study(hostile)
    file.write_text(text.splitlines(keepends=True)[0], encoding="utf-8")
    with pytest.raises(UserError, match="do not belong together"):
        study(hostile)


@pytest.mark.slow
def test_without_samples_scores_stay_and_the_report_says_what_is_missing(hostile: Path):
    [whole] = study(hostile).measured
    samples_file(hostile).unlink()
    found = study(hostile)
    [row] = found.measured
    for metric in ("full_marks", "all_skills"):
        assert row.by_k(metric, "all") == whole.by_k(metric, "all")
    assert found.notes == [
        "Without samples (--log_samples), and so without answers, points and comparisons: hostile (skillmix_k2)."
    ]
    assert found.student_reports[0].kinds == {}


@pytest.mark.slow
def test_a_newer_result_replaces_an_older_one_and_the_report_says_so(hostile: Path, tmp_path: Path):
    file = results_file(hostile)
    data = json.loads(file.read_text(encoding="utf-8"))
    data["date"] += 60
    data["results"]["skillmix_k2"]["full_marks,none"] = 0.0
    newer = tmp_path / "results_2099-01-01T00-00-00.000000.json"
    newer.write_text(json.dumps(data), encoding="utf-8")
    for order in ((hostile, newer), (newer, hostile)):
        found = study(*order)
        assert found.measured[0].by_k("full_marks", "all")[2].value == 0
        note = "Left out, because a newer result of the same student and task is there: hostile (skillmix_k2)."
        assert found.notes[1:] == [note]  # behind the one on its samples


@pytest.mark.slow
def test_answers_that_were_not_judged_are_left_out(hostile: Path, results: dict[str, Path]):
    file = results_file(hostile)
    data = json.loads(file.read_text(encoding="utf-8"))
    data["configs"]["skillmix_k2"]["metadata"]["skillmix"]["judge"] = None
    file.write_text(json.dumps(data), encoding="utf-8")
    assert (
        f"Not judged (--predict_only), and left out: {file.name} (skillmix_k2)."
        in study(hostile, results["before"]).notes
    )


def test_a_model_on_this_disk_goes_by_its_folder():
    here = student_of({"class": "HFLM", "model": "/home/someone/models/mine", "weights": "a"}, None)
    other = student_of({"class": "HFLM", "model": "/home/someone/models/mine", "weights": "b"}, None)
    assert here.name == other.name == "mine"
    assert here.key != other.key
    assert student_of({"model": "org/base", "peft": "/data/lora"}, None).name == "org/base + lora"


@pytest.mark.slow
def test_a_student_that_only_a_folder_names_is_the_one_of_that_model(hostile: Path, tmp_path: Path):
    """Samples graded without the results beside them: their student is the folder's name, read as a path."""

    def named(folder: Path, **student: str) -> Path:
        file = results_file(hostile if folder == hostile else Path(shutil.copytree(hostile, folder)))
        data = json.loads(file.read_text(encoding="utf-8"))
        data["configs"]["skillmix_k2"]["metadata"]["skillmix"]["student"] = student
        data["configs"]["skillmix_k2"]["metadata"]["skillmix"]["judge"]["model"] = folder.name  # another row
        file.write_text(json.dumps(data), encoding="utf-8")
        return folder

    whole = named(tmp_path / "whole", **{"class": "HFLM", "model": "/tmp/my__models/tiny", "weights": "a"})
    bare = named(tmp_path / "bare", model="/tmp/my/models/tiny")
    found = study(whole, bare)
    assert {row.student.partition(" (")[0] for row in found.measured} == {"tiny"}
    assert len({entry.run.student.key for entry in found.entries}) == 1
    other = named(tmp_path / "other", **{"class": "HFLM", "model": "/tmp/my__models/tiny", "weights": "b"})
    assert (
        len({entry.run.student.key for entry in study(whole, bare, other).entries}) == 3
    )  # whose it is, is unknown


def test_names_are_no_markdown():
    assert plain("a|b <i>\n*c*") == r"a\|b \<i\> \*c\*"


@pytest.mark.slow
def test_a_space_has_the_names_and_the_calibrations_that_are_given(hostile: Path, tmp_path: Path):
    calibration = make_calibration(tmp_path, study(hostile).entries[0].run.judge_record)
    made = space([Path(f"my own={hostile}")], repo="org/board", calibrations=[calibration])
    tables = {file.path: file.source for file in made.files}
    text = tables["leaderboard.md"]
    assert isinstance(text, bytes)
    assert "my own" in text.decode()
    assert load_calibration(calibration).line() in text.decode()


@pytest.mark.slow
def test_rows_carry_the_calibration_of_their_judge_and_of_no_other(hostile: Path, tmp_path: Path):
    [run], _ = read_results(results_file(hostile))
    other = tmp_path / "other"
    other.mkdir()
    own = load_calibration(make_calibration(tmp_path, run.judge_record))
    apart = load_calibration(make_calibration(other, run.judge_record | {"votes": 5}))
    found = study(hostile, calibrations=[apart, own])
    assert [row.calibration for row in found.measured] == [own.line()]
    [note] = [note for note in found.notes if "calibration" in note]
    assert "is of none of these judges" in note
    write_report(found, tmp_path / "report")
    for name in ("index.html", "leaderboard.md", "leaderboard.csv", "leaderboard.json"):
        assert "calibrated against people" in (tmp_path / "report" / name).read_text(encoding="utf-8"), name
