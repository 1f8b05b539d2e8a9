"""Whole runs of lm_eval against a chat server on loopback that plays student and judge."""

from __future__ import annotations

import json
import math
import re
import statistics
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import yaml

from grading.protocol.prompt import PROMPT_VERSION
from tests.servers.chat import ChatServer, Counts, expected_marks
from tests.skillmix_tasks.running import (
    MODELS,
    Results,
    environment,
    metadata,
    read_output,
    run,
    student_arguments,
)

pytestmark = pytest.mark.slow

METRICS = ("full_marks", "all_skills", "skill_fraction")
EARN = 0.6  # low enough for scores between 0 and 1


@dataclass
class Run:
    home: Path
    output: Results
    text: str
    counts: Counts
    server: ChatServer


@pytest.fixture(scope="module")
def whole_run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Run]:
    """Plain lm_eval, eight items of skillmix_k4."""
    folder = tmp_path_factory.mktemp("run")
    with ChatServer(earn=EARN, judge_latency=0.01, models=MODELS) as server:
        env = environment(folder / "home", SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=server.base_url)
        where = run("skillmix", "path", env=env, cwd=folder).stdout.strip()
        done = run(
            "lm_eval",
            *("--include_path", where),
            *student_arguments(server.url),
            *("--tasks", "skillmix_k4", "--apply_chat_template", "--limit", "8", "--log_samples"),
            *("--output_path", "out"),
            env=env,
            cwd=folder,
        )
        assert done.returncode == 0, done.stderr
        yield Run(folder / "home", read_output(folder / "out"), done.stdout, server.counts(), server)


def records(sample: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in sample["filtered_resps"]]


def test_every_sample_shows_two_turns_three_generations_and_nine_votes(whole_run: Run):
    samples = whole_run.output.samples["skillmix_k4"]
    assert [sample["doc_id"] for sample in samples] == list(range(8))
    for sample in samples:
        assert len(sample["resps"]) == 3
        assert all(len(turns) == 2 and turns[0] != turns[1] for turns in sample["resps"])
        assert len({turns[1] for turns in sample["resps"]}) == 3
        votes = [vote for record in records(sample) for vote in record["votes"]]
        assert len(votes) == 9
        assert any(mark["evidence"] for vote in votes for mark in vote["marks"].values())
        for record in records(sample):
            for vote in record["votes"]:
                assert set(vote["marks"]) == {"s1", "s2", "s3", "s4", "topic", "sense"}
                assert all(m["evidence"] in record["answer"] for m in vote["marks"].values() if m["earned"])
    assert whole_run.counts.received["student"] == 8 * 3 * 2
    assert whole_run.counts.received["judge"] == 8 * 9


def test_each_generation_has_a_seed_of_its_own(whole_run: Run):
    seeds = [entry.body["seed"] for entry in whole_run.server.log("student")]
    assert {seed: seeds.count(seed) for seed in set(seeds)} == {0: 16, 1: 16, 2: 16}


def test_the_second_turn_shows_the_student_its_first_answer(whole_run: Run):
    bodies = [entry.body for entry in whole_run.server.log("student")]
    second = [body["messages"] for body in bodies if len(body["messages"]) == 3]
    first_replies = {t[0] for s in whole_run.output.samples["skillmix_k4"] for t in s["resps"]}
    assert len(second) == 24
    assert {messages[1]["content"] for messages in second} == first_replies
    assert all("three sentences" in messages[2]["content"] for messages in second)
    assert all(body["temperature"] == 0.7 and body["max_tokens"] == 512 for body in bodies)


def score(record: dict[str, Any]) -> tuple[float, float, float]:
    """The three metrics of a generation, computed anew from the votes of the server's known judge."""
    answer, lost = record["answer"], record["lost_in_code"]
    if record["void"]:
        return 0.0, 0.0, 0.0
    names = ["s1", "s2", "s3", "s4", "topic", "sense"]
    votes = [expected_marks(answer, names, seed, earn=EARN) for seed in range(3)]
    won = {name: statistics.median(vote[name] for vote in votes) == 1 and name not in lost for name in names}
    short = answer.count(".") <= 3 and "length" not in lost
    skills = sum(won[f"s{i}"] for i in range(1, 5))
    rest = won["topic"] + won["sense"] + short
    return float(skills == 4 and rest == 3), float(skills == 4 and rest >= 2), skills / 4 if rest == 3 else 0.0


def test_the_table_is_what_independent_code_computes(whole_run: Run):
    samples = whole_run.output.samples["skillmix_k4"]
    table = whole_run.output.results["results"]["skillmix_k4"]
    per_item = [
        [max(scores) for scores in zip(*(score(record) for record in records(sample)), strict=True)]
        for sample in samples
    ]
    for index, metric in enumerate(METRICS):
        values = [scores[index] for scores in per_item]
        assert [sample[metric] for sample in samples] == values
        assert table[f"{metric},none"] == pytest.approx(statistics.mean(values))
        assert table[f"{metric}_stderr,none"] == pytest.approx(statistics.stdev(values) / math.sqrt(8))
    assert table["coverage,none"] == 1
    assert table["full_marks_low,none"] == table["full_marks_high,none"] == table["full_marks,none"]
    assert 0 < table["skill_fraction,none"] < 1, "the judge of this test must not be constant"
    for metric in (*METRICS, "coverage", "full_marks_low", "full_marks_high"):
        assert f"|{metric}" in whole_run.text


def test_results_carry_the_protocol_and_no_address(whole_run: Run):
    record = whole_run.output.results["configs"]["skillmix_k4"]["metadata"]["skillmix"]
    assert record["judge"]["model"] == "judge-1"
    assert record["judge"]["prompt_version"] == PROMPT_VERSION
    assert record["judge"]["votes"] == 3
    assert record["pack"]["id"] == "language"
    assert len(record["pack"]["hash"]) == 16
    assert (record["turns"], record["generations"], record["k"]) == (2, 3, 4)
    assert record["grading"]["calls"] == 72
    assert record["grading"]["spent"]["prompt_tokens"] == whole_run.counts.tokens["judge"]["prompt"]
    assert "127.0.0.1" not in json.dumps(whole_run.output.results["configs"])


def test_logged_answers_can_be_graded_again_for_nothing(whole_run: Run, tmp_path: Path):
    """By the same judge from our answer file and from lm-eval's samples, and by another one."""
    env = environment(
        whole_run.home, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=whole_run.server.base_url
    )
    [answers] = (whole_run.home / "answers").glob("*.jsonl")
    samples = whole_run.output.sample_files["skillmix_k4"]
    table = whole_run.output.results["results"]["skillmix_k4"]
    whole_run.server.reset()
    for file in (answers, samples):
        done = run("skillmix", "grade", file, "--json", env=env, cwd=tmp_path)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["results"]["skillmix_k4"] == table
    assert whole_run.server.counts().received == {"judge": 0, "student": 0}
    done = run("skillmix", "grade", samples, "--judge", "judge-2", "-o", "out", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "|full_marks " in done.stdout
    assert whole_run.server.counts().received == {"judge": 72, "student": 0}
    again = read_output(tmp_path / "out")
    assert [s["resps"] for s in again.samples["skillmix_k4"]] == [
        s["resps"] for s in whole_run.output.samples["skillmix_k4"]
    ]
    before, after = (
        one.results["configs"]["skillmix_k4"]["metadata"]["skillmix"] for one in (whole_run.output, again)
    )
    assert after["judge"]["model"] == "judge-2"
    for name in ("student", "sampling"):  # so that a report knows the student again
        assert after[name] == before[name]


@pytest.fixture
def judged(chat_server: ChatServer, tmp_path: Path):
    """Run `skillmix eval` with student and judge on the chat server."""
    chat_server.set(earn=0.9, models=MODELS)

    def evaluate(*arguments: str, **settings: Any):
        env = environment(tmp_path / "home", SKILLMIX_JUDGE_MODEL="judge-1")
        return run(
            "skillmix",
            "eval",
            *student_arguments(chat_server.url),
            "--apply_chat_template",
            *arguments,
            *metadata(judge_base_url=chat_server.base_url, **settings),
            env=env,
            cwd=tmp_path,
        )

    return evaluate


def test_unsorted_samples_are_logged_under_their_own_ids(judged, tmp_path: Path):
    done = judged(
        *("--tasks", "skillmix_k2", "--samples", '{"skillmix_k2": [5, 1, 3]}', "--log_samples"),
        *("--output_path", "out"),
    )
    assert done.returncode == 0, done.stderr
    samples = read_output(tmp_path / "out").samples["skillmix_k2"]
    assert {sample["doc_id"] for sample in samples} == {1, 3, 5}
    assert all(sample["doc_id"] == sample["doc"]["index"] for sample in samples)


def test_predict_only_asks_no_judge_and_needs_none(chat_server: ChatServer, tmp_path: Path):
    done = run(
        *("skillmix", "eval", *student_arguments(chat_server.url), "--tasks", "skillmix_k3"),
        *("--apply_chat_template", "--limit", "2", "--predict_only", "--output_path", "out"),
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr
    samples = read_output(tmp_path / "out").samples["skillmix_k3"]
    assert all(len(turns) == 2 for sample in samples for turns in sample["resps"])
    assert all(records(sample)[0]["answer"] for sample in samples)
    assert chat_server.counts().received["judge"] == 0
    assert list((tmp_path / "home" / "answers").glob("skillmix_k3_*.jsonl"))


def test_a_group_runs_its_tasks_and_has_no_score(judged, chat_server: ChatServer, tmp_path: Path):
    done = judged("--tasks", "skillmix_planning", "--limit", "1", "--write_out", "--json", votes=1)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert set(results["results"]) == {"skillmix_planning"} | {f"skillmix_planning_k{k}" for k in (2, 3, 4)}
    assert not any("full_marks" in key for key in results["results"]["skillmix_planning"])
    roles = [entry.role for entry in chat_server.log()]
    # Every answer of every task is there before the first one is judged.
    assert roles == ["student"] * 18 + ["judge"] * 9
    assert len(list((tmp_path / "home" / "answers").glob("*.jsonl"))) == 3


def test_a_vote_that_stays_lost_lowers_coverage_and_widens_the_bounds(judged, chat_server: ChatServer):
    chat_server.set(earn=0.7, judge_faults={"refusal": 0.4})
    done = judged("--tasks", "skillmix_k2", "--limit", "12", "--json", max_missing=1.0)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))
    table = results["results"]["skillmix_k2"]
    assert 0 < table["coverage,none"] < 1
    assert table["full_marks_low,none"] < table["full_marks_high,none"]
    assert table["full_marks_stderr,none"] != "N/A"
    record = results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert set(record["points_without_verdict"]) == {"refused"}


def test_ungrounded_points_are_shown_apart_and_count_by_the_rule(judged, chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=1.0, judge_faults={"false-quote": 0.75})
    logging = ("--output_path", "out", "--log_samples")
    done = judged("--tasks", "skillmix_k2", "--limit", "4", *logging, max_missing=1.0)
    assert done.returncode == 0, done.stderr
    output = read_output(tmp_path / "out")
    record = output.results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    logged = [one for sample in output.samples["skillmix_k2"] for one in records(sample)]
    lost = sum(len(one["ungrounded"]) for one in logged)
    points = sum(4 - len(set(one["lost_in_code"]) - {"length"}) for one in logged)
    assert 0 < lost < points
    assert record["ungrounded"] == {
        "rule": "no_verdict",
        "points": lost,
        "judged_points": points,
        "share": lost / points,
    }
    assert record["points_without_verdict"] == {"ungrounded": lost}
    table = output.results["results"]["skillmix_k2"]
    assert table["coverage,none"] < 1
    chat_server.set(judge_faults={"false-quote": 1.0})  # what is asked again gets no better
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    command = ("skillmix", "grade", answers, "--set", "ungrounded=not_earned", "--json")
    done = run(*command, env=environment(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    record = results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert (record["ungrounded"]["rule"], record["ungrounded"]["points"]) == ("not_earned", lost)
    assert record["points_without_verdict"] == {}
    again = results["results"]["skillmix_k2"]
    assert again["coverage,none"] == 1
    assert again["full_marks,none"] == table["full_marks_low,none"] < table["full_marks_high,none"]


def test_too_many_lost_verdicts_fail_the_run_and_keep_everything(judged, chat_server: ChatServer, tmp_path: Path):
    chat_server.set(judge_faults={"refusal": 1.0})
    done = judged("--tasks", "skillmix_k2", "--limit", "2")
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "100% of the items got no verdict" in sentence
    assert "refused" in sentence
    assert "Traceback" not in done.stderr
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    assert str(answers) in sentence
    chat_server.set(judge_faults={})
    done = run(
        "skillmix",
        "grade",
        answers,
        "--judge",
        "judge-2",
        "--judge-base-url",
        chat_server.base_url,
        env=environment(tmp_path / "home"),
        cwd=tmp_path,
    )
    assert done.returncode == 0, done.stderr


def test_a_variant_of_ones_own_is_a_yaml_file(judged, chat_server: ChatServer, tmp_path: Path):
    """Beside one of ours, from a file for --config; and its answers can be graded again, with lost votes too."""
    folder = tmp_path / "mine"
    folder.mkdir()
    where = run("skillmix", "path", env=environment(tmp_path), cwd=tmp_path).stdout.strip()
    (folder / "mine.yaml").write_text(
        f"include: {where}/_skillmix.yaml\ntask: skillmix_mine_k2\n"
        "skillmix: {k: 2, split: public, pack: language, version: '1.0'}\n"
    )
    (tmp_path / "config.yaml").write_text("tasks: [skillmix_mine_k2, skillmix_k1]\nlimit: 2\n")
    chat_server.set(earn=1.0, judge_faults={"refusal": 0.5})
    done = judged(
        *("--config", "config.yaml", "--include_path", str(folder), "--output_path", "out", "--log_samples"),
        max_missing=1.0,
    )
    assert done.returncode == 0, done.stderr
    assert set(read_output(tmp_path / "out").samples) == {"skillmix_mine_k2", "skillmix_k1"}
    [answers] = (tmp_path / "home" / "answers").glob("skillmix_mine_k2_*.jsonl")
    command = ("skillmix", "grade", answers, "--json", "--set", "max_missing=1")
    env = environment(tmp_path / "home")
    assert "--include-path" in run(*command, env=env, cwd=tmp_path).stderr
    done = run(*command, "--include-path", folder, env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    json.loads(done.stdout, parse_constant=lambda name: pytest.fail(f"{name} is no JSON"))


def test_files_of_different_runs_are_graded_apart(judged, tmp_path: Path):
    for temperature in ("0.7", "0.1"):
        done = judged(
            *("--tasks", "skillmix_k1", "--limit", "1", "--gen_kwargs", f"temperature={temperature}"),
            *("--log_samples", "--output_path", "out"),
            votes=1,
        )
        assert done.returncode == 0, done.stderr
    env = environment(tmp_path / "home")
    files = sorted(tmp_path.glob("home/answers/*.jsonl"))
    assert len(files) == 2
    done = run("skillmix", "grade", *files, "--out", "graded", env=env, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert len(list(tmp_path.glob("graded/student-1/results_*.json"))) == 2


# Fields of the page's examples whose names are data, such as states with their counts.
OPEN = {"splitters", "points_without_verdict", "vote_states", "states", "extractions", "marks", "lost_in_code"}
_PAGE = (Path(__file__).parents[2] / "docs" / "results.md").read_text(encoding="utf-8")


def same_fields(told: Any, real: Any, place: str = "") -> None:
    """Whether an example of the page has the fields of a real file and values of their kinds."""
    if isinstance(told, dict) and isinstance(real, dict):
        assert place.rpartition(".")[2] in OPEN or told.keys() == real.keys(), place
        for name in told.keys() & real.keys():
            same_fields(told[name], real[name], f"{place}.{name}")
    elif isinstance(told, list) and isinstance(real, list):
        for one in real[:1]:
            same_fields(told[0], one, f"{place}[]")
    elif told is not None and real is not None:
        assert isinstance(real, type(told)), place


def test_the_page_of_results_shows_a_real_file(whole_run: Run):
    """What the page leaves out are keys of lm-eval's own, beside those that it shows."""
    file, sample, record = [
        yaml.safe_load(block) for block in re.findall(r"^```yaml\n(.*?)^```", _PAGE, re.MULTILINE | re.DOTALL)
    ]
    results = whole_run.output.results
    assert file.keys() <= results.keys()
    assert file["config"].keys() <= results["config"].keys()
    for name in ("results", "n-samples", "versions"):
        same_fields(file[name], results[name], name)
    [told], [real] = file["configs"].values(), results["configs"].values()
    same_fields(told["metadata"], real["metadata"], "metadata")
    assert file["versions"]["skillmix_k4"] == results["versions"]["skillmix_k4"]
    assert told["metadata"]["skillmix"]["judge"]["prompt_version"] == PROMPT_VERSION
    line = whole_run.output.samples["skillmix_k4"][0]
    same_fields(sample, {name: line[name] for name in sample}, "sample")
    for made in records(line):
        # A lost vote has two fields more, and a graded one is shown with them.
        lost = {"detail": "", "reply": ""}
        same_fields(record, made | {"votes": [vote | lost for vote in made["votes"]]}, "record")
