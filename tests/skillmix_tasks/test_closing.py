"""The last lines of commands, and what takes a folder: two students, another judge, a report of all."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from subprocess import CompletedProcess

import pytest

from skillmix_tasks.items.loading import load_pack
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import environment, run

pytestmark = pytest.mark.slow

MODELS = ["student-1", "student-2", "judge-1", "judge-2"]
FACTS = ("student", "pack", "judge", "turns", "votes", "coverage", "cost", "results", "answers", "page", "next")


def block(text: str) -> dict[str, str]:
    """The last lines of a command by their names."""
    lines = text.rstrip().splitlines()
    start = max(number for number, line in enumerate(lines) if line.startswith("student  "))
    found = {line[:9].strip(): line[10:] for line in lines[start:]}
    assert set(found) <= set(FACTS), text
    return found


@dataclass
class Runs:
    folder: Path
    env: dict[str, str]
    first: CompletedProcess[str]
    second: CompletedProcess[str]
    student: tuple[str, ...]

    def run(self, *command: str) -> CompletedProcess[str]:
        return run("skillmix", *command, env=self.env, cwd=self.folder)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Runs]:
    """Two students, evaluated by commands that name all in options; the first is not written to a folder."""
    folder = tmp_path_factory.mktemp("runs")
    with ChatServer(models=MODELS) as server:
        env = environment(folder / "home")
        student_words = f"--model local-chat-completions --model_args model={{}},base_url={server.base_url}"

        def evaluate(student: str, *more: str) -> CompletedProcess[str]:
            words = student_words.format(student)
            judge = ("--judge", "judge-1", "--judge-base-url", server.url)  # the form of a student's address
            command = (*words.split(), "--tasks", "skillmix_k2", "--apply_chat_template", "--limit", "1")
            return run("skillmix", "eval", *command, *judge, "--votes", "1", *more, env=env, cwd=folder)

        first, second = evaluate("student-1"), evaluate("student-2", "-o", "results")
        env |= {"SKILLMIX_JUDGE_BASE_URL": server.base_url}
        yield Runs(folder, env, first, second, tuple(student_words.format("student-1").split()))


def test_an_evaluation_ends_with_what_it_did_and_the_next_command(runs: Runs):
    assert runs.second.returncode == 0, runs.second.stderr
    assert block(runs.second.stdout) == {
        "student": "student-2",
        "pack": f"language {load_pack('language').about.version}",
        "judge": "judge-1",
        "turns": "2",
        "votes": "1 for each answer",
        "coverage": "1 of 1 items have a verdict",
        "cost": block(runs.second.stdout)["cost"],
        "results": "results",
        "next": "skillmix report results --out results/report",
    }
    assert "tokens of unknown price" in block(runs.second.stdout)["cost"]
    assert len(list(runs.folder.glob("results/student-2/*"))) == 2  # results and samples
    for part in ("skillmix_k2: turn 1 of 2", "skillmix_k2: turn 2 of 2", "skillmix_k2: judging with judge-1"):
        assert part in runs.second.stderr
    assert "fatal" not in runs.second.stderr


def test_a_run_without_a_folder_says_how_to_write_it_for_nothing(runs: Runs):
    assert runs.first.returncode == 0, runs.first.stderr
    told = block(runs.first.stdout)
    assert told["results"].startswith("not saved")
    assert told["answers"] == str(runs.folder / "home" / "answers")
    done = runs.run(*shlex.split(told["next"])[1:])
    assert done.returncode == 0, done.stderr
    assert block(done.stdout)["cost"].startswith("nothing now; what came from the store had cost ")


def test_a_folder_of_two_students_is_graded_to_results_of_each(runs: Runs):
    done = runs.run("grade", "home/answers", "--judge", "judge-2", "--votes", "1", "--out", "graded", "--json")
    assert done.returncode == 0, done.stderr
    students = [one["config"]["model_args"]["model"] for one in json.loads(done.stdout)]
    assert sorted(students) == ["student-1", "student-2"]
    assert {path.parent.name for path in runs.folder.glob("graded/*/results_*.json")} == set(students)
    assert block(done.stderr)["next"] == "skillmix report graded --out graded/report"
    report = runs.run("report", "results", "graded", "--out", "report")
    assert report.returncode == 0, report.stderr
    told = block(report.stdout)
    assert told["judge"] == "judge-1, judge-2"
    assert told["coverage"] == "4 of 4 items have a verdict in 4 results of 2 students"
    assert told["cost"].startswith("nothing now; the runs spent ")
    assert told["results"] == "report"
    assert (runs.folder / told["page"]).is_file()
    again = runs.run("report", "results", "graded", "--out", "report")
    assert block(again.stdout)["results"] == "report (in place of an earlier report)"


def test_a_folder_without_answers_is_refused(runs: Runs, tmp_path: Path):
    (tmp_path / "samples_arc_easy_2026-01-01T00-00-00.jsonl").write_text('{"doc": {"question": "?"}}\n')
    done = runs.run("grade", str(tmp_path))
    assert done.returncode == 1
    assert f"There are no answers under {tmp_path}" in done.stderr


def test_a_results_file_stands_for_its_samples(runs: Runs):
    [results] = runs.folder.glob("results/student-2/results_*.json")
    done = runs.run("grade", str(results), "--judge", "judge-1", "--votes", "1")
    assert done.returncode == 0, done.stderr
    told = block(done.stdout)
    assert told["student"] == "student-2"
    assert told["next"].endswith("--judge judge-1 --votes 1 --out results")


def test_samples_without_results_beside_them_have_the_student_of_their_folder(runs: Runs, tmp_path: Path):
    folder = tmp_path / "__tmp__models__tiny"
    folder.mkdir()
    for file in runs.folder.glob("results/student-2/samples_*"):
        (folder / file.name).write_bytes(file.read_bytes())
    done = runs.run("grade", str(tmp_path), "--judge", "judge-1", "--votes", "1", "--out", str(tmp_path / "out"))
    assert done.returncode == 0, done.stderr
    assert block(done.stdout)["student"] == "tiny"
    assert list((tmp_path / "out").glob("__tmp__models__tiny/results_*.json"))


def test_samples_keep_seed_pack_and_controls_and_a_pack_of_ones_own_is_named(runs: Runs):
    assert runs.run("pack", "new", "bakery").returncode == 0
    words = "--tasks skillmix_k2 --apply_chat_template --limit 1 --judge judge-1 --votes 1"
    common = words.split()
    for out, more in {
        "seeded": ("--set", "seed=7", "--set", "controls=true"),
        "planned": ("--pack", "planning"),
        "baked": ("--pack", "bakery"),
    }.items():
        done = runs.run("eval", *runs.student, *common, *more, "--out", out)
        assert done.returncode == 0, done.stderr
        assert "items, not the" not in done.stderr  # one was wanted, and each pack has that
    grade = ("--judge", "judge-2", "--votes", "1", "--out")
    done = runs.run("grade", "seeded", *grade, "seeded-2", "--json")
    assert done.returncode == 0, done.stderr
    record = json.loads(done.stdout)["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert (record["seed"], record["controls"] is not None) == (7, True)
    done = runs.run("grade", "planned", *grade, "planned-2")
    assert done.returncode == 0, done.stderr
    assert block(done.stdout)["pack"].startswith("planning ")
    done = runs.run("grade", "baked", *grade, "baked-2")
    assert done.returncode == 1
    assert "the pack bakery, which is not bundled: add --pack FOLDER" in done.stderr
    (runs.folder / "bakery" / "controls.yaml").unlink()  # the pack has another hash, and the same items
    done = runs.run("grade", "seeded", "planned", "baked", "--pack", "bakery", *grade, "all", "--json")
    assert done.returncode == 0, done.stderr
    records = [one["configs"]["skillmix_k2"]["metadata"]["skillmix"] for one in json.loads(done.stdout)]
    assert [(one["pack"]["id"], one["seed"]) for one in records] == [
        ("language", 7),
        ("planning", 0),
        ("bakery", 0),
    ]
    assert done.stderr.count("is graded with its own pack") == 2
    assert done.stderr.count("was answered with the pack bakery of the hash") == 1
