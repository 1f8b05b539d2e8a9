"""The reference's metrics from its own files, whole and mutilated."""

from __future__ import annotations

import csv
import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import CliRunner

from grading import UserError
from skillmix_tasks.calibration.reference_metrics import ReferenceReport, reference_metrics
from skillmix_tasks.cli import app
from skillmix_tasks.scoring.metrics import METRICS
from tests.skillmix_tasks.checks.reference import folder
from tests.skillmix_tasks.reference.made import ITEMS, exact_metrics, read, table

R2 = "test/k2_s7_vdefault_r2/student-a"
GRADED = R2 + "/graded/by_gpt-4_on_text_1_1_gpt/records.csv"


def test_the_metrics_are_the_exact_fractions(checkout: Path):
    report = reference_metrics(checkout)
    exact = exact_metrics(checkout)
    ours = {(one.student, one.k, one.deducted): one for one in report.metrics}
    assert ours.keys() == exact.keys()
    for key, one in ours.items():
        for metric, value in zip(METRICS, exact[key], strict=True):
            assert getattr(one, metric) == pytest.approx(float(value), abs=1e-12)
        assert (one.generations, one.gradings) == (3, 3)


def test_the_published_table_is_reproduced():
    rows = re.findall(
        r"^\| (\S+) \| (\d) \| ([\d./ ]+) \| ([\d./ ]+) \|$", (folder() / "README.md").read_text(), re.MULTILINE
    )
    published = {
        (student, int(k), deducted): [float(value) for value in cell.split("/")]
        for student, k, *cells in rows
        for deducted, cell in zip((False, True), cells, strict=True)
    }
    report = reference_metrics(folder())
    ours = {(one.student, one.k, one.deducted): one for one in report.metrics}
    assert len(published) == 8
    assert ours.keys() == published.keys()
    for key, values in published.items():
        assert [round(getattr(ours[key], metric), 2) for metric in METRICS] == values
        assert (ours[key].n, ours[key].seed) == (5, 10)


def test_copied_gradings_are_found_and_others_are_not(made: Path):
    assert not any(one.copied_gradings for one in reference_metrics(made).metrics)
    report = reference_metrics(folder())
    assert all(one.copied_gradings for one in report.metrics)
    assert sum("one and the same reply" in fault.what for fault in report.faults) == 4
    assert len(report.faults) == 4  # and nothing else is wrong with the real files


def test_naming_a_skill_costs_its_point(made: Path):
    plain, deducted = reference_metrics(made).metrics[-2:]
    assert plain.student == deducted.student == "student-a"
    assert deducted.skill_fraction < plain.skill_fraction


@pytest.fixture
def copy(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "copy"))


def change(path: Path, edit: Callable[[list[dict[str, str]]], object]) -> None:
    rows = read(path)
    edit(rows)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)


def faults_at(report: ReferenceReport, place: str) -> str:
    return "\n".join(fault.what for fault in report.faults if fault.file.startswith(place))


def test_a_deleted_grading_is_named_and_the_others_decide(copy: Path):
    (copy / GRADED).unlink()
    report = reference_metrics(copy)
    assert "records.csv is missing" in faults_at(report, str(Path(GRADED).parent))
    assert "grading 1 is missing" in faults_at(report, R2)
    assert [one.n for one in report.metrics] == [ITEMS] * 4


def test_a_deleted_generation_is_named(copy: Path):
    shutil.rmtree(copy / R2)
    report = reference_metrics(copy)
    assert "generation 2 is missing" in faults_at(report, "student-a")
    whole = {(one.student, one.deducted): one for one in reference_metrics(copy).metrics}
    assert whole["student-a", False].generations == 2
    assert whole["org/student-b", False].generations == 3


def test_a_truncated_file_keeps_its_whole_rows(copy: Path):
    text = (copy / GRADED).read_text()
    cut = text.index("\n", text.rindex("| Text makes sense")) - 30
    (copy / GRADED).write_text(text[:cut])
    report = reference_metrics(copy)
    assert f"row {ITEMS}: it is cut off before points_0, true_sentence_lim_pt_0" in faults_at(report, GRADED)
    assert [one.n for one in report.metrics] == [ITEMS] * 4  # two gradings of that row are left


def test_a_generation_that_is_cut_short_costs_only_its_items(copy: Path):
    for grading in (1, 2, 3):
        change(copy / GRADED.replace("_1_1_", f"_1_{grading}_"), lambda rows: rows.pop(4))
    report = reference_metrics(copy)
    assert f"generation 2 has {ITEMS - 1} of {ITEMS} items" in faults_at(report, "student-a")
    assert {one.student: one.n for one in report.metrics} == {"org/student-b": ITEMS, "student-a": ITEMS - 1}
    # The items behind the lost row have not moved up: leaving it out everywhere gives the same figures.
    for path in copy.glob("test/k2*/**/graded/*/records.csv"):
        if "_r2" not in str(path):
            change(path, lambda rows: rows.pop(4))
    assert reference_metrics(copy).metrics == report.metrics


@pytest.mark.parametrize(
    ("one", "other", "said"),
    [
        ("skills", "topic", "under skills stand 1 names"),
        ("user_0", "assistant_0", "under user_0 stands no grading prompt"),
        ("points_0", "true_sentence_lim_pt_0", "under true_sentence_lim_pt_0 stands"),
        ("k", "topic", "under k stands 'Total War'"),
    ],
)
def test_swapped_columns_are_named(copy: Path, one: str, other: str, said: str):
    def swap(rows: list[dict[str, str]]) -> None:
        for row in rows:
            row[one], row[other] = row[other], row[one]

    change(copy / GRADED, swap)
    report = reference_metrics(copy)
    assert faults_at(report, GRADED).count("the row is left out") == ITEMS
    assert said in faults_at(report, GRADED)
    assert len(report.metrics) == 4


def test_unequal_rows_are_read_again_by_criterion(copy: Path, made: Path):
    def shorten(rows: list[dict[str, str]]) -> None:
        for row in rows[:3]:
            row["points_0"] = row["points_0"].partition(",")[2]  # the first point is lost, the others move up
        rows[3]["points_0"] = rows[3]["points_0"].replace("1.0", "10.0", 1)

    change(copy / GRADED, shorten)
    report = reference_metrics(copy)
    assert faults_at(report, GRADED).count("they are read from the reply") == 4
    assert report.metrics == reference_metrics(made).metrics


def test_the_llama_format_is_named_and_its_points_count(copy: Path, made: Path):
    for grading in (1, 2, 3):
        path = copy / GRADED.replace("_1_1_", f"_1_{grading}_")
        text = path.read_text().replace("user_0", "[INST]_0").replace("assistant_0", "[/INST]_0")
        path.write_text(text)
        change(path, lambda rows: [row.update({"[/INST]_0": "Echo: Point earned: 1\nGrade: 1"}) for row in rows])
    assert reference_metrics(copy).metrics[:2] == reference_metrics(made).metrics[:2]
    assert [one.full_marks for one in reference_metrics(copy).metrics] == [
        one.full_marks for one in reference_metrics(made).metrics
    ]
    change(copy / GRADED, lambda rows: rows[0].update({"points_0": "1.0,0.0"}))
    assert "the reply is in the LLaMA grading format" in faults_at(reference_metrics(copy), GRADED)


def test_a_record_that_contradicts_the_reply_is_listed_and_counts(copy: Path):
    def contradict(rows: list[dict[str, str]]) -> None:
        skills = rows[0]["skills"].split(",  \n")
        rows[0]["assistant_0"] = table(skills, rows[0]["topic"], [False] * 5).replace(skills[0], "something else")

    change(copy / GRADED, lambda rows: rows[0].update({"points_0": "1.0,1.0,1.0,1.0,1.0"}))
    change(copy / GRADED, contradict)
    said = faults_at(reference_metrics(copy), GRADED)
    assert "s1 is recorded as 1, and the reply decides nothing (no row of the table names it" in said
    assert "something else" in said
    assert "s2 is recorded as 1, and the reply says 0" in said


@pytest.mark.parametrize(
    "content", [b"", b"\xff\xfe\x00", b"k,skills\n2,x\n", b'"', b"k" * 200_000 + b"\n" + b"x" * 200_000]
)
def test_files_that_are_no_gradings_are_named(copy: Path, content: bytes):
    (copy / GRADED).write_bytes(content)
    report = reference_metrics(copy)
    assert faults_at(report, GRADED)
    assert len(report.metrics) == 4


def test_the_notes_are_counted_by_student_and_kind(copy: Path):
    for grading in (1, 2, 3):

        def contradict(rows: list[dict[str, str]]) -> None:
            rows[0]["points_0"] = "1.0,1.0,1.0,1.0,1.0"
            rows[0]["assistant_0"] = table(rows[0]["skills"].split(",  \n"), rows[0]["topic"], [False] * 5)

        change(copy / GRADED.replace("_1_1_", f"_1_{grading}_"), contradict)
    (copy / R2.replace("_r2", "_r1") / "graded/by_gpt-4_on_text_1_2_gpt/records.csv").unlink()
    said = CliRunner().invoke(app, ["reference", "metrics", str(copy)], catch_exceptions=False).stderr.splitlines()
    [head, *kinds] = said
    assert head.startswith("note: student-a k=2 seed=7 graded by gpt-4: ")
    assert {"3 contradicted rows", "1 missing file", "1 missing grading"} <= set(
        head.rstrip(".").partition("gpt-4: ")[2].split(", ")
    )
    assert len(kinds) == head.count(",") + 1
    assert all(line.startswith("  ") for line in kinds)


def test_other_folders_are_named(copy: Path, tmp_path: Path):
    (copy / "test/graded/by_gpt-4_on_text_1_1_gpt").mkdir(parents=True)
    (copy / R2 / "graded/notes").mkdir()
    report = reference_metrics(copy)
    assert "no folder above it is named" in faults_at(report, "test/graded")
    assert "by_GRADER_on_COLUMN" in faults_at(report, R2 + "/graded/notes")
    for wrong, said in (
        (tmp_path / "nowhere", "There is no folder"),
        (tmp_path / "copy/prompts", "holds no gradings"),
    ):
        with pytest.raises(UserError, match=said):
            reference_metrics(wrong)


def test_the_command(copy: Path):
    (copy / GRADED).unlink()
    done = CliRunner().invoke(app, ["reference", "metrics", str(copy), "--json"], catch_exceptions=False)
    records = json.loads(done.stdout)
    assert len(records) == 4
    assert {"student", "k", "seed", "deducted", "n", *METRICS} <= set(records[0])
    assert done.stderr.count("note: ") == 2  # the missing file, and what it means for the majority
    assert "grading 1 is missing" in done.stderr
    text = CliRunner().invoke(app, ["reference", "metrics", str(copy)], catch_exceptions=False).stdout
    plain = records[0]
    assert f"{plain['full_marks']:.2f} / {plain['all_skills']:.2f} / {plain['skill_fraction']:.2f}" in text
    assert "org/student-b" in text
