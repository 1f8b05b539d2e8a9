"""Control answers, in whole runs against a judge that passes them, fails them, or says nothing."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest

from grading import Mark, State, Vote
from grading.verdict import Ballot, decide
from skillmix_tasks.harness.task_files import harness_folder
from skillmix_tasks.items.loading import load_pack
from skillmix_tasks.items.pack import Control
from skillmix_tasks.scoring.controls import Outcome, control_request, outcome
from tests.security.foreign import write_pack
from tests.servers.chat import ChatServer
from tests.skillmix_tasks.running import MODELS, environment, metadata, run, student_arguments

pytestmark = pytest.mark.slow

PACK = load_pack("language")
BY_KIND = {"good": 4, "bad": 4, "empty": 2, "off_topic": 2}
ALL = [control.id for control in PACK.controls]


def fair_judge() -> dict[str, str]:
    """For `gullible`: what a text must hold to get a criterion, so that every control is marked rightly."""
    evidence = {}
    for control in PACK.controls:
        if control.kind == "good":
            for number, criterion in enumerate(control_request(PACK, control).criteria):
                evidence[criterion.text] = " ".join(control.text.split()[number : number + 3])
    return evidence | {criterion.text: "e"}  # a text makes sense if it holds an e


def evaluate(
    server: ChatServer, folder: Path, *arguments: str, plain: dict[str, str] | None = None, **settings: Any
):
    """Run `skillmix eval`, or with the variables `plain` lm_eval."""
    server.set(models=MODELS)
    settings = {"judge": "judge-1", "judge_base_url": server.base_url, "votes": 1, "controls": True} | settings
    env = environment(folder / "home") | (plain or {})
    words = ("lm_eval", "--include_path", str(harness_folder())) if plain else ("skillmix", "eval")
    return run(
        *words,
        *student_arguments(server.url),
        *("--apply_chat_template", "--limit", "1"),
        *arguments,
        *metadata(**settings),
        env=env,
        cwd=folder,
    )


def controls_of(results: dict[str, Any], task: str) -> Any:
    return results["configs"][task]["metadata"]["skillmix"]["controls"]


def test_a_fair_judge_passes_and_is_asked_once_for_all_tasks(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(gullible=fair_judge())
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k2,skillmix_k3", "--json")
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    kinds = {kind: {"passed": number, "of": number} for kind, number in BY_KIND.items()}
    for task in ("skillmix_k2", "skillmix_k3"):
        record = {"passed": 12, "of": 12, "kinds": kinds, "failed": [], "no_verdict": []}
        assert controls_of(results, task) == record
    assert "Controls failed" not in done.stderr
    asked = [entry.body["messages"][1]["content"] for entry in chat_server.log("judge")]
    assert len(asked) == 12 + 6
    for control in PACK.controls:  # before any answer
        assert sum(control.text in prompt and bool(control.text) for prompt in asked[:12]) == bool(control.text)


def test_a_judge_that_grants_everything_fails_and_the_first_line_says_so(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(earn=1.0)
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k1", "--output_path", "out")
    assert done.returncode == 0, done.stderr
    first, rest = done.stdout.split("\n", 1)
    failed = [control.id for control in PACK.controls if control.kind in ("bad", "off_topic")]
    assert first.startswith(
        "Controls failed: 6 of the 12 control answers of the pack language were judged wrongly by judge-1"
    )
    assert re.findall(r"([\w-]+): granted", first) == failed
    assert "bad-beekeeping: granted modus-tollens, onomatopoeia; bad-lotteries:" in first
    assert "off-topic-carthage: granted topic;" in first
    assert "good 4 of 4, bad 0 of 4, empty 2 of 2, off_topic 0 of 2" in first
    assert "|full_marks " in rest
    [results] = tmp_path.glob("out/**/results_*.json")
    record = controls_of(json.loads(results.read_text()), "skillmix_k1")
    assert (record["passed"], record["failed"], record["no_verdict"]) == (6, failed, [])

    chat_server.reset()  # the stored votes serve when the answers are graded again, and the line is the same
    chat_server.set(models=MODELS)
    [answers] = (tmp_path / "home" / "answers").glob("*.jsonl")
    env = environment(tmp_path / "home")
    again = run("skillmix", "grade", answers, env=env, cwd=tmp_path)
    assert again.returncode == 0, again.stderr
    assert again.stdout.split("\n", 1)[0] == first
    assert chat_server.counts().received == {"judge": 0, "student": 0}
    without = run("skillmix", "grade", answers, "--set", "controls=false", env=env, cwd=tmp_path)
    assert "Controls" not in without.stdout + without.stderr
    as_json = run("skillmix", "grade", answers, "--json", env=env, cwd=tmp_path)
    assert controls_of(json.loads(as_json.stdout), "skillmix_k1") == record
    assert first in as_json.stderr


def test_plain_lm_eval_warns(chat_server: ChatServer, tmp_path: Path, plain_lm_eval: dict[str, str]):
    chat_server.set(earn=0.0)
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k1", plain=plain_lm_eval)
    assert done.returncode == 0, done.stderr
    [line] = [line for line in done.stderr.splitlines() if "Controls failed" in line]
    assert "WARNING" in line
    assert "4 of the 12" in line
    for control in PACK.controls:
        denied = f"{control.id}: denied {', '.join(control.skills)}, topic, sense"
        assert (denied in line) == (control.kind == "good")


def test_a_judge_that_says_nothing_has_failed_nothing(chat_server: ChatServer, tmp_path: Path):
    chat_server.set(judge_faults={"refusal": 1.0})
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k1", "--json", max_missing=1)
    assert done.returncode == 0, done.stderr
    record = controls_of(json.loads(done.stdout), "skillmix_k1")
    assert (record["passed"], record["failed"], record["no_verdict"]) == (0, [], ALL)
    assert "12 of 12 control answers got no verdict" in done.stderr
    assert "Controls failed" not in done.stderr


def test_controls_are_paid_from_the_run_s_cap(chat_server: ChatServer, tmp_path: Path):
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k1", "--json", max_missing=1, max_tokens=5000)
    assert done.returncode == 0, done.stderr
    results = json.loads(done.stdout)
    assert 0 < len(controls_of(results, "skillmix_k1")["no_verdict"]) < 12
    states = results["configs"]["skillmix_k1"]["metadata"]["skillmix"]["grading"]["vote_states"]
    assert states["over_budget"] > 3  # the answers' three votes, and controls


def test_a_pack_without_controls_is_one_sentence(chat_server: ChatServer, tmp_path: Path):
    pack = write_pack(tmp_path / "foreign")
    done = evaluate(chat_server, tmp_path, "--tasks", "skillmix_k2", pack=str(pack))
    assert done.returncode == 1
    [sentence] = [line for line in done.stderr.splitlines() if line.startswith("Error: ")]
    assert "The pack 'foreign' has no control answers" in sentence
    assert chat_server.counts().received == {"judge": 0, "student": 0}


CONTROLS: dict[str, Control] = {control.kind: control for control in PACK.controls}
GRANT, DENY = Mark(State.GRADED, True, "x"), Mark(State.GRADED, False, "")
FALSE_QUOTE = Mark(State.UNGROUNDED, None, "y")


@pytest.mark.parametrize(
    ("kind", "point", "mark", "expected"),
    [
        ("good", "s1", GRANT, Outcome.PASSED),
        ("good", "sense", DENY, Outcome.FAILED),
        ("good", "s1", FALSE_QUOTE, Outcome.NO_VERDICT),
        ("bad", "s1", GRANT, Outcome.FAILED),
        ("bad", "s1", FALSE_QUOTE, Outcome.FAILED),
        ("bad", "sense", DENY, Outcome.PASSED),  # a strict judge
        ("bad", "sense", FALSE_QUOTE, Outcome.PASSED),
        ("empty", "sense", GRANT, Outcome.FAILED),
        ("empty", "s2", FALSE_QUOTE, Outcome.FAILED),
        ("off_topic", "topic", GRANT, Outcome.FAILED),
        ("off_topic", "s1", DENY, Outcome.PASSED),
    ],
)
def test_what_fails_a_control(kind: str, point: str, mark: Mark, expected: Outcome):
    control = CONTROLS[kind]
    points = [criterion.id for criterion in control_request(PACK, control).criteria]
    marks = {one: GRANT if one in control.earned else DENY for one in points} | {point: mark}
    assert outcome(control, decide([Ballot([Vote(0, State.GRADED, marks)], 1)], points)) is expected


def test_a_control_without_a_vote_has_no_verdict():
    control = CONTROLS["bad"]
    points = [criterion.id for criterion in control_request(PACK, control).criteria]
    assert outcome(control, decide([Ballot([Vote(0, State.API_FAILED)], 1)], points)) is Outcome.NO_VERDICT
