"""Links, spoiled files of others, and files that a full disk or a kill has cut: a sentence, and nothing wrong."""

from __future__ import annotations

import csv
import json
import os
import resource
import shutil
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from grading import UserError
from grading.safety.atomic import atomic_file, write_atomic
from grading.safety.text import csv_cell, csv_text
from hub_cards.evaluations import read_evaluations
from hub_cards.hub.files import open_within
from hub_cards.report.page.write import write_report
from hub_cards.report.stats.novelty import Corpus
from hub_cards.report.study.study import Study, make_study
from skillmix_tasks.calibration.agreement import compare, mean, repeated, share
from skillmix_tasks.calibration.corrected import correct_results
from skillmix_tasks.calibration.correction import ErrorRates
from skillmix_tasks.calibration.record import conclude, load_calibration
from skillmix_tasks.stored.find_results import find_results
from skillmix_tasks.stored.places import find_answers
from tests.forks import Fork, skillmix
from tests.hub_cards.driving import drive
from tests.hub_cards.made import make_calibration
from tests.servers.chat import ChatServer
from tests.servers.hub.server import HubServer
from tests.skillmix_tasks.running import environment, metadata, student_arguments
from training.comparison import compare_halves, comparison_text, read_half

pytestmark = pytest.mark.slow

TASK = "skillmix_k2"
NAN, INF = float("nan"), float("inf")
SECRET = b"the marked secret of this test, which no Hub may see"


@dataclass(frozen=True)
class Results:
    """Folders of `skillmix eval`: of 3 judged items, of 2 without any verdict, and the first one's answers."""

    server: ChatServer
    home: Path
    judged: Path
    unjudged: Path
    answers: Path


def arguments(server: ChatServer, output: Path, items: int) -> list[str]:
    return [
        *("eval", *student_arguments(server.url), "--apply_chat_template", "--log_samples"),
        *("--tasks", TASK, "--limit", str(items), "--output_path", str(output)),
        *metadata(max_missing=1.0),
    ]


def variables(server: ChatServer, home: Path) -> dict[str, str]:
    return environment(
        home, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=server.base_url, OMP_NUM_THREADS="1"
    )


def limited(limit: int, *command: str) -> None:
    """The command where no file grows beyond `limit` bytes, as on a disk that is full."""
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))
    skillmix(*command)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Results]:
    folder = tmp_path_factory.mktemp("files")
    # Long answers, so that samples are larger than the verdict store.
    student = {"text": "Answer: " + " ".join(f"word{number}" for number in range(1500)) + "."}
    with ChatServer(earn=0.7, models=["student-1", "judge-1"], student=student) as server:
        for name, items in (("judged", 3), ("unjudged", 2)):
            if name == "unjudged":
                server.set(judge_faults={"refusal": 1}, fault_lasts=True)
            env = variables(server, folder / f"home-{name}")
            done = Fork(skillmix, *arguments(server, folder / name, items), cwd=folder, env=env).wait(300)
            assert done.returncode == 0, done.stderr
            assert "Traceback" not in done.stderr
        server.set(judge_faults={})
        [answers] = (folder / "home-judged" / "answers").glob("*.jsonl")
        yield Results(server, folder / "home-judged", folder / "judged", folder / "unjudged", answers)


def results_of(folder: Path) -> Path:
    [file] = folder.glob("**/results_*.json")
    return file


def samples_of(folder: Path) -> Path:
    [file] = folder.glob("**/samples_*.jsonl")
    return file


def study(*places: Path | str) -> Study:
    return make_study(find_results([str(place) for place in places]), corpus=Corpus())


# -- links


def folder_with(tmp_path: Path) -> tuple[Path, Path]:
    """A folder with a file, and a file outside of it."""
    (tmp_path / "folder" / "inner").mkdir(parents=True)
    (tmp_path / "folder" / "inner" / "file").write_bytes(b"own")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "file").write_bytes(SECRET)
    return tmp_path / "folder", tmp_path / "outside"


LINKS: list[Any] = [
    pytest.param("link", "../outside/file", "link", False, id="a file outside"),
    pytest.param("link", "inner/../../outside/file", "link", False, id="a way round"),
    pytest.param("link", "{outside}/file", "link", False, id="an absolute path"),
    pytest.param("link", "../outside", "link/file", False, id="a folder outside"),
    pytest.param("link", "/proc/self/environ", "link", False, id="the environment"),
    pytest.param("link", "../folder-of-another/file", "link", False, id="a folder whose name begins alike"),
    pytest.param("link", "nowhere", "link", False, id="nothing"),
    pytest.param("link", "inner", "link", False, id="a folder in place of a file"),
    pytest.param("link", "inner/file", "link", True, id="a file inside"),
    pytest.param("link", "inner", "link/file", True, id="a folder inside"),
    pytest.param("link", "../folder/inner/file", "link", True, id="out and in again"),
]


@pytest.mark.parametrize(("name", "target", "path", "opens"), LINKS)
def test_no_link_leads_out_of_a_pushed_folder(tmp_path: Path, name: str, target: str, path: str, opens: bool):
    folder, outside = folder_with(tmp_path)
    shutil.copytree(outside, tmp_path / "folder-of-another")
    (folder / name).symlink_to(target.format(outside=outside))
    if opens:
        assert open_within(folder, folder / path).read_bytes() == b"own"
        return
    with pytest.raises(UserError, match="nothing was pushed"):
        open_within(folder, folder / path)


def test_a_pipe_is_no_file_and_holds_nobody_up(tmp_path: Path):
    folder, _ = folder_with(tmp_path)
    os.mkfifo(folder / "pipe")
    with pytest.raises(UserError, match="is not a regular file"):
        open_within(folder, folder / "pipe")


def test_a_file_that_was_opened_is_read_whatever_takes_its_place(tmp_path: Path):
    folder, outside = folder_with(tmp_path)
    held = open_within(folder, folder / "inner" / "file")
    (folder / "inner").rename(tmp_path / "moved")
    (folder / "inner").symlink_to(outside)
    assert held.read_bytes() == b"own"
    assert held.stat().st_size == 3


def test_a_link_that_comes_and_goes_never_leads_out(tmp_path: Path):
    folder, outside = folder_with(tmp_path)
    inner, kept, ended = folder / "inner", folder / "kept", threading.Event()

    def swap() -> None:
        while not ended.is_set():
            inner.rename(kept)
            inner.symlink_to(outside)
            inner.unlink()
            kept.rename(inner)

    swapping = threading.Thread(target=swap)
    swapping.start()
    read, refused = set(), 0
    try:
        for _ in range(3000):
            try:
                read.add(open_within(folder, inner / "file").read_bytes())
            except UserError:
                refused += 1
    finally:
        ended.set()
        swapping.join()
    assert read <= {b"own"}
    assert refused


def test_pushes_of_folders_with_links(tmp_path: Path):
    secret = tmp_path / "secret"
    secret.write_bytes(SECRET)
    work = tmp_path / "work"
    work.mkdir()
    with HubServer() as hub:
        told = drive("linked_pushes", hub.environment(tmp_path / "home"), work, str(secret), package="security")
        assert SECRET not in hub.received()
        assert hub.repo("dataset", "org/swapped").files["summary.png"] == (work / "expected.png").read_bytes()
        inside = hub.repo("dataset", "org/inside").files["summary.md"]
    assert inside == (work / "inside" / "kept.md").read_bytes()
    assert [told.pop(name) for name in ("whole", "link inside")] == [0, 0]
    assert told.pop("swapped") > 1
    assert len(told) == 7
    for place, status in told.items():
        assert "nothing was pushed" in str(status), place


# -- tables


FORMULAS = [
    "=1+1",
    "+1",
    "-1+1",
    "@SUM(A1)",
    "\t=1",
    "\r=1",
    " =1",
    "\n=1",
    "＝1+1",
    "＋1",
    "－1",
    "＠SUM",
    "﹦1",
    "-",
]


@pytest.mark.parametrize("text", FORMULAS)
def test_a_cell_that_begins_like_a_formula_is_quoted(text: str):
    assert csv_cell(text) == f"'{text}"
    assert csv_text(csv_cell(text)) == text


@pytest.mark.parametrize("value", [-0.3, 5, None, True, "", "a=b", "plain", "'quoted'", "1-1"])
def test_other_cells_stay_as_they_are(value: Any):
    assert csv_cell(value) is value
    if isinstance(value, str):
        assert csv_text(value) == value


def test_a_report_s_tables_hold_no_formula(made: Results, tmp_path: Path):
    formula = "+HYPERLINK(1)"
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    other = json.loads(results_of(copy).read_text())
    # One that is worse on all items, so that there is a negative number.
    samples_of(copy).write_text(samples_of(made.judged).read_text().replace('"earned": true', '"earned": false'))
    results_of(copy).write_text(json.dumps(other))
    folder = tmp_path / "report"
    write_report(study(f"{formula}={made.judged}", f"＠other={copy}"), folder)
    tables = {
        name: list(csv.DictReader((folder / f"{name}.csv").open())) for name in ("leaderboard", "comparisons")
    }
    assert tables["leaderboard"][0]["student"].startswith(f"'{formula}")
    assert tables["comparisons"][0]["second"].startswith("'＠other")
    for rows in tables.values():
        for row in rows:
            assert not any(cell[:1] in ("=", "+", "@", "＠", "\t") for cell in row.values())
    low = tables["comparisons"][0]["low"]
    assert float(low) < 0  # a number below 0 stays one


# -- runs without a verdict


def test_a_report_on_a_run_without_any_verdict_says_so(made: Results, tmp_path: Path):
    found = study(made.unjudged)
    assert any("Without a score, because no item has a verdict" in note for note in found.notes)
    write_report(found, tmp_path / "alone")
    for name in ("index.html", "leaderboard.md"):
        assert "has a verdict" in (tmp_path / "alone" / name).read_text(encoding="utf-8")
    both = study(f"one={made.judged}", f"other={made.unjudged}")
    write_report(both, tmp_path / "both")
    assert not both.pairs
    samples_of(alone := shutil.copytree(made.unjudged, tmp_path / "no-samples")).unlink()
    write_report(study(alone), tmp_path / "third")


def test_a_run_without_any_verdict_is_compared_and_not_corrected(made: Results, tmp_path: Path):
    half = read_half(made.unjudged)
    assert "no verdict" in comparison_text({"run": compare_halves(half, half)}, [])
    judge = half.results["configs"][TASK]["metadata"]["skillmix"]["judge"]
    with pytest.raises(UserError, match="no item with a verdict"):
        correct_results(results_of(made.unjudged), load_calibration(make_calibration(tmp_path, judge)))


@pytest.mark.parametrize(("name", "value"), [("coverage", NAN), ("coverage", -1), ("coverage", None)])
def test_results_with_no_numbers_are_not_corrected(made: Results, tmp_path: Path, name: str, value: Any):
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    judge = read_half(copy).results["configs"][TASK]["metadata"]["skillmix"]["judge"]
    score(f"{name},none", value)(copy)
    with pytest.raises(UserError, match=f"has {name} = .*, which is not a share"):
        correct_results(results_of(copy), load_calibration(make_calibration(tmp_path, judge)))


def test_the_statistics_of_nothing():
    nothing = compare([])
    assert {nothing.kappa.state, nothing.agreement.state, nothing.surplus.state} == {"nothing"}
    assert compare([[], []]).decisions == 0
    assert {share([], []).state, share([0.0], [0.0]).state, mean([]).state, repeated([]).state} == {"nothing"}
    assert conclude("a judge", "people", nothing, {})[0] == "not settled"
    assert ErrorRates(both=0, judge_only=0, reference_only=0, neither=0).refusal()
    assert compare([[(True, True)]]).kappa.state == "one_class"


# -- spoiled results and samples


def in_results(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        data = json.loads(results_of(folder).read_text())
        change(data)
        results_of(folder).write_text(json.dumps(data))

    return spoil


def score(name: str, value: Any) -> Callable[[Path], None]:
    return in_results(lambda data: data["results"][TASK].update({name: value}))


def record(name: str, value: Any) -> Callable[[Path], None]:
    return in_results(lambda data: data["configs"][TASK]["metadata"]["skillmix"].update({name: value}))


def in_sample(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        lines = samples_of(folder).read_text(encoding="utf-8").splitlines()
        sample = json.loads(lines[1])
        change(sample)
        lines[1] = json.dumps(sample)
        samples_of(folder).write_text("\n".join(lines) + "\n", encoding="utf-8")

    return spoil


def in_generation(change: Callable[[dict[str, Any]], Any]) -> Callable[[Path], None]:
    def one(sample: dict[str, Any]) -> None:
        generation = json.loads(sample["filtered_resps"][0])
        change(generation)
        sample["filtered_resps"][0] = json.dumps(generation)

    return in_sample(one)


def in_bytes(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def spoil(folder: Path) -> None:
        samples_of(folder).write_bytes(change(samples_of(folder).read_bytes()))

    return spoil


def spent_of(data: dict[str, Any]) -> dict[str, Any]:
    spent: dict[str, Any] = data["configs"][TASK]["metadata"]["skillmix"]["grading"]["spent"]
    return spent


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [("points_without_verdict", {"dreamt": 1}, "the state 'dreamt'"), ("k", 0, "k: "), ("judge", [], "judge: ")],
)
def test_report_correction_and_comparison_read_the_same_record(
    made: Results, tmp_path: Path, name: str, value: Any, words: str
):
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    judge = read_half(copy).results["configs"][TASK]["metadata"]["skillmix"]["judge"]
    calibration = load_calibration(make_calibration(tmp_path, judge))
    record(name, value)(copy)
    for read in (
        lambda: study(copy),
        lambda: correct_results(results_of(copy), calibration),
        lambda: read_half(copy),
    ):
        with pytest.raises(UserError, match=f"not a results file of a SKILL-MIX run .*{words}"):
            read()


SPOILED: list[Any] = [
    pytest.param(score("coverage,none", NAN), "coverage is nan", id="coverage NaN"),
    pytest.param(score("coverage,none", 2), "coverage is 2", id="coverage 2"),
    pytest.param(score("full_marks,none", NAN), "full_marks is nan", id="score NaN"),
    pytest.param(score("full_marks,none", INF), "full_marks is inf", id="score infinite"),
    pytest.param(score("skill_fraction,none", -1), "skill_fraction is -1", id="score negative"),
    pytest.param(score("full_marks_high,none", NAN), "full_marks_high is nan", id="bound NaN"),
    pytest.param(score("sample_len", INF), "sample_len is inf", id="items infinite"),
    pytest.param(score("sample_len", -3), "sample_len is -3", id="items negative"),
    pytest.param(in_results(lambda data: data.update(date=NAN)), "date is nan", id="date NaN"),
    pytest.param(record("points_without_verdict", {"dreamt": 1}), "the state 'dreamt'", id="state in results"),
    pytest.param(record("controls", {"passed": 0, "of": 0, "failed": []}), "controls.of", id="no controls"),
    pytest.param(in_results(lambda data: spent_of(data).update(prompt_tokens=NAN)), "spent is nan", id="cost"),
    pytest.param(in_bytes(lambda text: text[:-40]), "Line 3 of", id="last line cut"),
    pytest.param(in_bytes(lambda text: text[:-40] + bytes(40)), "Line 3 of", id="zeros at the end"),
    pytest.param(in_bytes(lambda text: text.replace(b'{"doc_id": 1', b"garbage", 1)), "Line 2 of", id="garbage"),
    pytest.param(in_bytes(lambda text: text.replace(b'"resps"', b'"r\xffsps"', 1)), "Line 1 of", id="no UTF-8"),
    pytest.param(in_bytes(lambda text: b"".join(text.splitlines(True)[:2])), "do not belong", id="a line less"),
    pytest.param(in_bytes(lambda _: b""), "do not belong", id="empty"),
    pytest.param(in_sample(lambda one: one.update(full_marks=NAN)), "Line 2 of", id="sample's score NaN"),
    pytest.param(in_sample(lambda one: one.update(coverage=0.5)), "Line 2 of", id="half a verdict"),
    pytest.param(in_sample(lambda one: one["resps"].pop()), "Line 2 of", id="an answer less"),
    pytest.param(in_sample(lambda one: one["doc"]["skills"].pop()), "Line 2 of", id="a skill less"),
    pytest.param(in_generation(lambda one: one["points"].pop("s1")), "Line 2 of", id="a point less"),
    pytest.param(in_generation(lambda one: one["points"].update(style=True)), "Line 2 of", id="a point more"),
    pytest.param(in_generation(lambda one: one["states"].update(s1="no")), "state 'no'", id="point's state"),
    pytest.param(in_generation(lambda one: one["votes"][0].update(state="no")), "state 'no'", id="vote's state"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), SPOILED)
def test_report_and_push_refuse_the_same_files_with_the_same_sentence(
    made: Results, tmp_path: Path, spoil: Callable[[Path], None], words: str
):
    def publish() -> None:
        for one in read_evaluations([copy])[0]:
            one.check_samples()

    copy = shutil.copytree(made.judged, tmp_path / "copy")
    publish()
    spoil(copy)
    with pytest.raises(UserError) as reported:
        study(copy)
    with pytest.raises(UserError) as pushed:
        publish()
    assert words in str(reported.value)
    assert str(pushed.value) == str(reported.value)


@pytest.mark.parametrize("which", ["results", "samples", "folder"])
def test_results_that_are_links_out_of_their_folder_are_not_published(made: Results, tmp_path: Path, which: str):
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    results = results_of(copy)
    place = {"results": results, "samples": samples_of(copy), "folder": results.parent}[which]
    place.rename(tmp_path / "elsewhere")
    place.symlink_to(tmp_path / "elsewhere")
    with pytest.raises(UserError, match=r"nothing was pushed|There are no results"):
        read_evaluations([copy])


def test_a_results_file_that_is_cut_short_is_named(made: Results, tmp_path: Path):
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    file = results_of(copy)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match="is not a results file"):
        study(copy)


@pytest.mark.parametrize("name", ["results", "samples"])
def test_a_comparison_of_cut_files_says_what_to_type(made: Results, tmp_path: Path, name: str):
    copy = shutil.copytree(made.judged, tmp_path / "copy")
    file = results_of(copy) if name == "results" else samples_of(copy)
    file.write_bytes(file.read_bytes()[:-100])
    with pytest.raises(UserError, match=r"is truncated or damaged: remove .*whole"):
        read_half(copy)


# -- stored answers


def test_answers_with_a_cut_last_line_are_graded_without_it(made: Results, tmp_path: Path):
    lines = made.answers.read_bytes().splitlines(keepends=True)
    for name, content in {
        "answers": b"".join(lines)[:-30],
        "samples": samples_of(made.judged).read_bytes()[:-30],
    }.items():
        file = tmp_path / f"{name}.jsonl"
        file.write_bytes(content)
        number = content.count(b"\n") + 1
        command = ("grade", str(file), "--judge", "judge-1", "--judge-base-url", made.server.base_url, "--json")
        env = variables(made.server, made.home)
        done = Fork(skillmix, *command, cwd=tmp_path, env=env).wait(300)
        assert done.returncode == 0, done.stderr
        assert f"{file}, line {number}, is truncated" in done.stderr
        results = json.loads(done.stdout.splitlines()[-1])
        assert results["n-samples"][TASK]["effective"] == 2


def changed(line: int, change: Callable[[bytes], bytes]) -> Callable[[list[bytes]], None]:
    def spoil(lines: list[bytes]) -> None:
        lines[line] = change(lines[line])

    return spoil


def field(line: int, **fields: Any) -> Callable[[list[bytes]], None]:
    return changed(line, lambda text: json.dumps(json.loads(text) | fields).encode() + b"\n")


ANSWERS = [
    pytest.param(changed(3, lambda line: line[:-20] + b"\n"), "line 4, is not a stored answer", id="broken"),
    pytest.param(changed(2, lambda _: b"garbage\n"), "line 3, is not a stored answer", id="garbage"),
    pytest.param(changed(2, lambda line: line.replace(b'"hash"', b'"h\xff"')), "line 3, is no", id="no UTF-8"),
    pytest.param(field(4, index=NAN), "line 5, is not a stored answer", id="index NaN"),
    pytest.param(field(4, state="dreamt"), "line 5, is not a stored answer of this release (state", id="a state"),
    pytest.param(field(4, replies=[]), "line 5, is not a stored answer", id="no reply"),
    pytest.param(field(0, settings={"max_usd": NAN}), "line 1, has NaN", id="a cap that is NaN"),
    pytest.param(field(0, settings={"max_usd": -INF}), "line 1, has NaN or Infinity", id="an infinite cap"),
    pytest.param(field(0, skillmix_answers=2), "has the format 2", id="a newer format"),
    pytest.param(changed(0, lambda line: line[: len(line) // 2] + b"\n"), "line 1", id="half a header"),
    pytest.param(lambda lines: lines.__delitem__(slice(2, None)), "has 1 of its 3", id="whole lines lost"),
]  # fmt: skip


@pytest.mark.parametrize(("spoil", "words"), ANSWERS)
def test_broken_answers_are_named_by_line(
    made: Results, tmp_path: Path, spoil: Callable[[list[bytes]], None], words: str
):
    lines = made.answers.read_bytes().splitlines(keepends=True)
    spoil(lines)
    file = tmp_path / "answers.jsonl"
    file.write_bytes(b"".join(lines))
    with pytest.raises(UserError) as refused:
        find_answers([file], 3)
    assert words in str(refused.value)


def test_a_cut_line_costs_its_own_item_and_no_other(made: Results, tmp_path: Path):
    lines = made.answers.read_bytes().splitlines(keepends=True)
    file = tmp_path / "answers.jsonl"
    for kept, items in ((9, 3), (8, 2), (7, 2), (4, 1)):  # lines after the header; the next is cut
        file.write_bytes(b"".join(lines[: kept + 1]) + (lines[kept + 1][:50] if kept < 9 else b'{"ind'))
        [task] = find_answers([file], 3)
        assert len(task.items) == items
    file.write_bytes(b"".join(lines[:2]) + lines[2][:50])
    with pytest.raises(UserError, match="holds no complete item"):
        find_answers([file], 3)


# -- full disks


def test_a_report_that_meets_a_full_disk_leaves_the_old_one(made: Results, tmp_path: Path):
    folder = tmp_path / "report"
    command = ("report", str(made.judged), "-o", str(folder))
    env = variables(made.server, made.home)
    assert Fork(skillmix, *command, cwd=tmp_path, env=env).wait(300).returncode == 0
    before = {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}
    name = "a longer name of the student"
    other = ("report", f"{name}={made.judged}", "-o", str(folder), "--before", name)
    for limit in (1_000, max(map(len, before.values())) - 1):
        done = Fork(limited, limit, *other, cwd=tmp_path, env=env).wait(300)
        assert done.returncode == 1
        assert "an earlier report there is as it was" in done.stderr
        assert "Traceback" not in done.stderr
        assert {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()} == before


@pytest.mark.parametrize("command", ["eval", "grade"])
def test_samples_that_meet_a_full_disk_fail_the_run_and_leave_no_half_file(
    made: Results, tmp_path: Path, command: str
):
    limit = samples_of(made.judged).stat().st_size * 3 // 4
    assert results_of(made.judged).stat().st_size < limit
    home, out = shutil.copytree(made.home, tmp_path / "home"), tmp_path / "out"
    judge = ("--judge", "judge-1", "--judge-base-url", made.server.base_url)
    typed = {"eval": arguments(made.server, out, 3), "grade": ["grade", str(made.answers), *judge, "-o", str(out)]}
    env = variables(made.server, home)
    done = Fork(limited, limit, *typed[command], cwd=tmp_path, env=env).wait(300)
    assert done.returncode == 1, done.stderr
    assert "Traceback" not in done.stderr
    if command == "eval":
        assert f" lacks samples_{TASK}_" in done.stderr
        assert "skillmix grade ANSWERS" in done.stderr
        assert TASK in done.stdout  # the table
    else:
        assert "some samples are missing" in done.stderr
    assert not list(out.glob("**/samples_*"))


def test_results_that_cannot_be_written_fail_the_run(made: Results, tmp_path: Path):
    home, out = shutil.copytree(made.home, tmp_path / "home"), tmp_path / "out"
    out.mkdir()
    (out / "student-1").write_text("a file where lm-eval wants a folder")
    command = arguments(made.server, out, 3)
    done = Fork(skillmix, *command, cwd=tmp_path, env=variables(made.server, home)).wait(300)
    assert done.returncode == 1, done.stderr
    assert " lacks results_" in done.stderr
    assert f"samples_{TASK}_" in done.stderr


def test_what_a_failing_writer_leaves(tmp_path: Path):
    path = tmp_path / "file"
    write_atomic(path, "old")
    with pytest.raises(UnicodeEncodeError), atomic_file(path) as draft, draft.open("w", encoding="ascii") as file:
        file.writelines(["half", "é"])
    with pytest.raises(OSError, match="No space left"):
        write_atomic(Path("/dev/full"), "new")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]
