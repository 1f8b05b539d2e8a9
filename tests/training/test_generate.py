"""The generating loop against a teacher and a judge of known behaviour."""

from __future__ import annotations

import json
import random
import signal
import sqlite3
import time
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import load_dataset
from scipy.stats import binomtest

from grading import Budget, UserError, resolve_judge
from grading.home import verdict_store
from grading.store.replies import VerdictStore
from tests.forks import Fork
from tests.servers.chat import ChatServer
from tests.training.made import CONCURRENCY, KILLED_PLAN, make, make_little, make_to_be_killed, run_at, tried
from tests.training.making import items
from training.data.rows import read_rows, rows_file
from training.texts.counts import Counts
from training.texts.generate import Run
from training.texts.outcome import Report
from training.texts.plan import Kind, Plan, load_plan, own_plan, scaled
from training.texts.teacher import resolve_teacher

pytestmark = pytest.mark.slow

PAPER = {"3": 0.66, "4": 0.66, "5": 0.38}  # by number of criteria, which is k + 2
MODELS = ["teacher-1", "judge-1", "judge-2"]
SOUND = "Every old sailor praised the quiet harbour, for whoever doubted it had never once been out at sea."


@pytest.fixture(autouse=True)
def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "home"))


@pytest.fixture
def server(chat_server: ChatServer) -> ChatServer:
    chat_server.set(models=MODELS)
    return chat_server


def rejected(report: Report, k: int = 1) -> dict[str, int]:
    return dict(report.outcome.counts.kinds[k].rejected)


def files(folder: Path) -> dict[str, bytes]:
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def received(server: ChatServer) -> int:
    """Requests that were taken, and would be paid for even if their client is gone."""
    counts = server.counts()
    return sum(counts.received.values()) - counts.statuses.get("400", 0)


def test_a_twentieth_of_the_paper_ends_as_expected(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", whole=PAPER, n="honour")
    out = tmp_path / "out"
    report = make(run_at(server.base_url, scaled(load_plan("paper"), 0.05)), out)
    kinds = report.outcome.counts.kinds
    assert {k: kind.tally.attempted for k, kind in kinds.items()} == {1: 250, 2: 500, 3: 500}
    for k, kind in kinds.items():
        assert kind.tally.accepted + kind.rejected.total() == kind.tally.attempted
        assert set(kind.rejected) == {
            f"not_met:{c}" for c in (*(f"s{n}" for n in range(1, k + 1)), "topic", "sense")
        }
        assert binomtest(kind.tally.accepted, kind.tally.attempted, PAPER[str(k + 2)]).pvalue > 0.01
        assert sum(1 for _ in read_rows(rows_file(out, k))) == kind.tally.accepted
    asked = server.counts()
    assert asked.received == {"student": 2500, "judge": 1250}  # two turns; three votes in one request
    assert report.leakage is not None
    assert not report.leakage.leaks
    data = load_dataset(str(out), "k1-2-3", cache_dir=str(tmp_path / "cache"))
    assert sum(map(len, data.values())) == sum(kind.tally.accepted for kind in kinds.values())
    assert Counts.model_validate_json((out / "counts.json").read_bytes()) == report.outcome.counts

    # From the store the same run makes the same bytes, and asks for nothing.
    again = tmp_path / "again"
    make(run_at(server.base_url, scaled(load_plan("paper"), 0.05)), again)
    assert server.counts().received == asked.received
    assert files(again) == files(out)


def start(folder: Path, server: ChatServer) -> Fork:
    return Fork(make_to_be_killed, folder / "home", folder / "out", server.base_url)


def replies_on_disk(folder: Path) -> int:
    store = folder / "home" / "verdicts.sqlite"
    if not store.exists():
        return 0
    with sqlite3.connect(store) as db:
        tables = db.execute("SELECT 1 FROM sqlite_master WHERE name = 'replies'").fetchall()
        return int(db.execute("SELECT COUNT(*) FROM replies").fetchone()[0]) if tables else 0


def test_ten_kills_change_no_byte_and_buy_nothing_twice(server: ChatServer, tmp_path: Path):
    # One vote a request: requests count replies. The first request of a process asks for more and is turned down,
    # so that all that are answered are alike. What a prompt cache holds would depend on the order of arrival.
    latency = 0.04
    behaviour = {
        "student": "one sentence",
        "whole": PAPER,
        "refuse_params": ["n"],
        "prompt_cache": False,
        "student_latency": latency,
        "judge_latency": latency,
        # Lost votes are asked again; another process must not ask for them anew.
        "judge_faults": {"bad-content": 0.45},
        "fault_lasts": True,
    }
    server.set(**behaviour)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    done = start(whole, server).wait(300)
    assert done.returncode == 0, done.stderr
    unbroken, calls = files(whole / "out"), received(server)
    assert {"run.json", "rows_k1.jsonl", "rows_k2.jsonl", "counts.json", "summary.md", "summary.png"} <= set(
        unbroken
    )
    assert sum(name.endswith(".parquet") for name in unbroken) >= 3
    server.reset()
    server.set(models=MODELS, **behaviour)

    draw = random.Random(10)
    # Killed when so many requests have come in all; the last two when nothing is left to ask, but files to write.
    moments = [*sorted(draw.choices(range(calls - CONCURRENCY), k=8)), calls, calls]
    lost = 0
    for moment in moments:
        process = start(killed, server)
        while received(server) - lost < moment and process.alive:
            time.sleep(0.01)
        time.sleep(draw.random() * (latency if moment < calls else 2))
        assert process.kill() == -signal.SIGKILL or moment == calls
        time.sleep(0.3)  # what it had sent last may still wait to be read
        server.wait(lambda counts: not any(counts.in_flight.values()))
        in_flight = received(server) - lost - replies_on_disk(killed)
        assert 0 <= in_flight <= CONCURRENCY
        lost += in_flight
    assert lost > 10, "the kills must strike while calls are in flight"

    done = start(killed, server).wait(300)
    assert done.returncode == 0, done.stderr
    assert received(server) == calls + lost
    assert files(killed / "out") == unbroken
    counts = Counts.model_validate_json(unbroken["counts.json"])
    assert counts.kinds[2].tally.accepted == 12
    assert any(kind.rejected["no_verdict:parse_failed"] for kind in counts.kinds.values())
    assert KILLED_PLAN.ks == (1, 2)


def test_two_runs_at_once_pay_for_each_text_once(server: ChatServer, tmp_path: Path):
    """Also when one of them is killed: the other pays again for what was in flight alone."""
    behaviour = {"student": "one sentence", "student_latency": 0.03, "judge_latency": 0.03, "n": "honour"}
    for kill in (False, True):
        server.reset()
        server.set(models=MODELS, **behaviour)
        home = tmp_path / str(kill)
        outs = [home / "first", home / "second"]
        runs = [Fork(make_little, home / "home", out, server.base_url) for out in outs]
        if kill:
            server.wait(lambda counts: counts.received["student"] >= 16)
            assert runs.pop(0).kill() == -signal.SIGKILL
            outs.pop(0)
        for run in runs:
            done = run.wait(300)
            assert done.returncode == 0, done.stderr
        assert len({(out / "rows_k1.jsonl").read_bytes() for out in outs}) == 1
        asked = [json.dumps([entry.body["messages"], entry.body["seed"]]) for entry in server.log()]
        twice = len(asked) - len(set(asked))
        assert twice <= CONCURRENCY if kill else twice == 0


@pytest.mark.parametrize(
    ("behaviour", "reason"),
    [
        ({"student": {"text": "Answer:\nExplanation: nothing."}}, "format"),
        ({"student": "echo"}, "format"),
        ({"student_faults": {"refusal": 1}}, "format"),
        ({"student_faults": {"truncated": 1}}, "format"),
        ({"student_faults": {"empty": 1}}, "format"),
        ({"student": {"text": "Answer: It rained. Nobody minded at all.\nExplanation: none."}}, "too_long"),
        ({"earn": 0}, "not_met:s1"),
        ({"judge_faults": {"bad-content": 1}}, "no_verdict:parse_failed"),
        ({"judge_faults": {"refusal": 1}}, "no_verdict:refused"),
        ({"judge_faults": {"truncated": 1}}, "no_verdict:truncated"),
        ({"judge_faults": {"false-quote": 1}, "earn": 1}, "no_verdict:ungrounded"),
    ],
)
def test_what_every_text_is_rejected_for(server: ChatServer, tmp_path: Path, behaviour, reason: str):
    server.set(**({"student": "one sentence"} | behaviour))
    report = make(run_at(server.base_url, tried(1, 4)), tmp_path / "out")
    assert rejected(report) == {reason: 4}
    assert report.outcome.endings == {1: "4 cells were tried"}
    assert (report.configs, report.leakage) == ([], None)
    assert "No text was accepted" in report.text()
    assert (tmp_path / "out" / "summary.md").exists()


def test_a_format_that_code_rejects_is_not_judged(server: ChatServer, tmp_path: Path):
    server.set(student="echo")
    make(run_at(server.base_url, tried(1, 4)), tmp_path / "out")
    assert server.counts().received == {"student": 8, "judge": 0}


@pytest.mark.parametrize("what", ["skill_named", "copied"])
def test_what_code_finds_of_the_skill(server: ChatServer, tmp_path: Path, what: str):
    [item] = items(1, 1)
    [skill] = item.skills
    text = f"It was {skill.name} all the way home."
    if what == "copied":
        copied = " ".join(skill.definition.rstrip(".").split()[:12])
        text = f"Down by the river in the early morning the old men said, as ever: {copied}, and laughed at it."
    server.set(student={"text": f"Answer: {text}"})
    report = make(run_at(server.base_url, tried(1, 1)), tmp_path / "out")
    assert rejected(report) == {what: 1}


def test_duplicates(server: ChatServer, tmp_path: Path):
    texts = [SOUND, SOUND.upper(), SOUND.replace("quiet", "noisy"), "Nothing else was ever said of that day."]
    server.set(earn=1, student_script=[{"content": f"Answer: {text}"} for text in texts])
    report = make(run_at(server.base_url, tried(1, 4), turns=1), tmp_path / "out", concurrency=1)
    assert rejected(report) == {"exact_duplicate": 1, "near_duplicate": 1}
    assert report.outcome.counts.kinds[1].tally.accepted == 2


def test_duplicates_are_sought_among_all_k(server: ChatServer, tmp_path: Path):
    server.set(earn=1, student={"text": f"Answer: {SOUND}"})
    plan = Plan(kinds=(Kind(k=1, skills="all", tries=2), Kind(k=2, skills="train", tries=2)))
    report = make(run_at(server.base_url, plan), tmp_path / "out")
    assert (rejected(report, 1), rejected(report, 2)) == ({"exact_duplicate": 1}, {"exact_duplicate": 2})
    assert [config.name for config in report.configs] == ["k1"]


def test_no_more_texts_are_bought_than_are_wanted(server: ChatServer, tmp_path: Path):
    server.set(earn=1, student="one sentence")
    report = make(run_at(server.base_url, own_plan([1, 2], 15)), tmp_path / "out")
    assert report.outcome.endings == {1: "15 texts are accepted", 2: "15 texts are accepted"}
    assert (rejected(report, 1), rejected(report, 2)) == ({}, {})
    assert received(server) == 30 * 2 + 30 * 3  # two turns, three votes
    assert report.notes()[0] == "k1 has 15 rows and no validation split: that takes 20 rows of one k."


def test_a_pack_with_too_few_texts_is_refused_before_anything_is_bought(server: ChatServer, tmp_path: Path):
    with pytest.raises(UserError, match=r"gives 4,555 texts with k = 1, and 5,000 are wanted: .* hold back 495"):
        make(run_at(server.base_url, own_plan([1], 5_000)), tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert received(server) == 0


def test_a_hopeless_kind_is_given_up(server: ChatServer, tmp_path: Path):
    server.set(earn=0, student="one sentence")
    run = run_at(server.base_url, own_plan([1, 2], 60), least_rate=0.05, votes=1, turns=1)
    report = make(run, tmp_path / "out")
    for k in (1, 2):
        assert report.outcome.endings[k].startswith("hopeless: 0 of 100 texts have full marks, at most 3.7%")
        assert "not_met:s1" in report.outcome.endings[k]
        assert report.outcome.counts.kinds[k].tally.attempted == 100


def test_a_cap_stops_the_run_and_a_higher_one_goes_on(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", whole=PAPER, prompt_cache=False)
    run, out = run_at(server.base_url, tried(2, 40)), tmp_path / "out"
    capped = Budget(max_tokens=20_000)
    report = make(run, out, budget=capped)
    asked = received(server)
    assert report.outcome.endings[2] == (
        "max_tokens = 20000 is reached; with a higher cap the same command resumes"
    )
    tally = report.outcome.counts.kinds[2].tally
    assert rejected(report, 2)["over_budget"] > 0
    assert tally.accepted + sum(rejected(report, 2).values()) == tally.attempted == 40
    tokens = server.counts().tokens
    assert 15_000 < sum(t["prompt"] + t["completion"] for t in tokens.values()) <= 20_000

    make(run, out, budget=Budget(max_tokens=10_000_000))
    assert received(server) == 40 * 5
    assert received(server) > asked
    server.reset()
    server.set(models=MODELS, student="one sentence", whole=PAPER, prompt_cache=False)
    (tmp_path / "home" / "verdicts.sqlite").unlink()
    make(run, tmp_path / "uncapped")
    assert received(server) == 40 * 5
    assert files(tmp_path / "uncapped") == files(out)


REASONS = "<think>The harbour, the sailor; irony needs a twist. "


@pytest.mark.parametrize(
    ("behaviour", "words"),
    [
        ({"student_faults": {"reasoning-only": 1}}, "rejected as reasoning_only: the teacher reasons until"),
        ({"student": {"text": REASONS}}, "type --teacher-max-tokens 16384"),
        ({"student_faults": {"empty": 1}}, "rejected as format: the replies hold no answer"),
        ({"student": {"text": "Answer: It rained. Nobody minded at all."}}, "rejected as too_long"),
        ({"student": "one sentence", "judge_faults": {"bad-content": 1}}, "rejected as no_verdict:parse_failed"),
    ],
)
def test_a_teacher_that_cannot_work_is_found_out_early(server: ChatServer, tmp_path: Path, behaviour, words: str):
    server.set(**behaviour)
    run, out = run_at(server.base_url, own_plan([1], 5), votes=1), tmp_path / "out"
    with pytest.raises(UserError, match=words) as stopped:
        make(run, out)
    assert str(stopped.value).startswith("All of the first 40 texts with k = 1 were ")
    asked = server.counts().received["student"]
    assert asked <= 80
    with pytest.raises(
        UserError, match="All of the first"
    ):  # with replies of its own, not with those in the store
        make(run, out)
    assert asked < server.counts().received["student"] <= 2 * asked
    # It works now: the same command goes on, and another limit may be tried in the same folder.
    server.set(student="one sentence", student_faults={}, judge_faults={}, earn=1)
    assert make(run, out).outcome.counts.accepted == 5


def test_another_limit_is_tried_in_the_same_folder_as_long_as_it_has_no_text(server: ChatServer, tmp_path: Path):
    server.set(student_faults={"reasoning-only": 1})
    run, out = run_at(server.base_url, own_plan([1], 2), votes=1), tmp_path / "out"
    with pytest.raises(UserError, match="reasoning_only"):
        make(run, out)
    server.set(student="one sentence", student_faults={}, earn=1)
    higher = replace(run, teacher=resolve_teacher("teacher-1", base_url=server.base_url, max_tokens=16384))
    assert make(higher, out).outcome.counts.accepted == 2
    with pytest.raises(UserError, match=r"another teacher \(--teacher\): max_tokens 1024, was 16384"):
        make(run, out)


def test_reasoning_is_neither_sent_again_nor_trained_on(server: ChatServer, tmp_path: Path):
    text = "<think>They want irony. Draft: Answer: no.</think>\n\nAnswer: " + SOUND + "\nExplanation: so."
    server.set(student={"text": text}, earn=1)
    make(run_at(server.base_url, tried(1, 1)), tmp_path / "out")
    [row] = read_rows(rows_file(tmp_path / "out", 1))
    assert "think" not in row.model_dump_json() + json.dumps(row.messages)
    assert [message["content"].startswith("Answer: Every") for message in row.messages] == [False, True] * 2
    assert "think" not in json.dumps(server.log("student")[1].body)


def test_one_turn(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", earn=1)
    make(run_at(server.base_url, tried(1, 3), turns=1), tmp_path / "out")
    rows = list(read_rows(rows_file(tmp_path / "out", 1)))
    assert [(row.turns, row.answer2, len(row.messages)) for row in rows] == [(1, "", 2)] * 3
    prompts = [entry.body["messages"] for entry in server.log("student")]
    assert [len(messages) for messages in prompts] == [1, 1, 1]
    assert all("one sentence" in messages[0]["content"] for messages in prompts)


def test_a_stop_goes_to_the_endpoint_and_makes_other_texts(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", earn=1)
    plain = run_at(server.base_url, tried(1, 2), turns=1)
    make(plain, tmp_path / "plain")
    teacher = plain.teacher.model_copy(update={"stop": ("\n\n",)})
    report = make(replace(plain, teacher=teacher), tmp_path / "out")
    assert report.outcome.teacher["calls"] == 2  # what the store has was written without it
    assert [entry.body.get("stop") for entry in server.log("student")] == [None, None, ["\n\n"], ["\n\n"]]
    assert all("stop" not in entry.body for entry in server.log("judge"))


def test_a_panel(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", earn=1)
    run = run_at(server.base_url, tried(1, 6), judges=("judge-1", "judge-2"), votes=1)
    report = make(run, tmp_path / "out")
    assert {entry.body["model"] for entry in server.log("judge")} == {"judge-1", "judge-2"}
    assert set(report.outcome.judge["by_judge"]) == {"judge-1", "judge-2"}
    row = next(read_rows(rows_file(tmp_path / "out", 1)))
    assert [judge["model"] for judge in json.loads(row.judge)["panel"]] == ["judge-1", "judge-2"]
    assert "judged by judge-1 and judge-2" in (tmp_path / "out" / "summary.md").read_text()


def test_batch_mode_makes_the_same_texts(server: ChatServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    server.set(student="one sentence", whole=PAPER, prompt_cache=False, n="honour")
    run = run_at(server.base_url, tried(1, 20), turns=1)
    make(run, tmp_path / "batches", batch=True)
    counts = server.counts()
    assert counts.batches == 2  # of all texts, and of all votes on them
    assert len(counts.submitted) == 20 + 20  # three votes in one request
    assert set(counts.submitted.values()) == {1}
    make(run, tmp_path / "again", batch=True)
    assert server.counts().batches == 2
    monkeypatch.setenv("SKILLMIX_HOME", str(tmp_path / "other"))
    make(run, tmp_path / "live")
    assert files(tmp_path / "batches") == files(tmp_path / "again") == files(tmp_path / "live")


def test_endpoints_that_fail_end_the_run(server: ChatServer, tmp_path: Path):
    server.set(student="one sentence", earn=1, student_faults={"400": 1})
    run = run_at(server.base_url, tried(1, 10), turns=1)
    with pytest.raises(UserError, match=r"10 of 10 texts failed at the teacher's or the judge's endpoint .*400"):
        make(run, tmp_path / "out")
    server.set(student_faults={}, judge_faults={"400": 1})
    with pytest.raises(UserError, match="10 of 10 texts failed"):
        make(run, tmp_path / "out")
    server.set(judge_faults={})
    before = server.counts().replied["student"]
    report = make(run, tmp_path / "out")
    assert server.counts().replied["student"] == before == 10  # nothing was lost
    assert report.outcome.counts.kinds[1].tally.accepted == 10


@pytest.mark.slow
def test_a_teacher_and_a_judge_in_this_process(embedded_model: Path, tmp_path: Path):
    model = f"hf:{embedded_model}"
    run = Run(
        plan=tried(1, 6),
        pack_name="language",
        teacher=resolve_teacher(model, max_tokens=32, prefix="Answer: A", stop=(" the",)),
        judges=(resolve_judge(model, votes=1),),
        turns=1,
    )
    first = make(run, tmp_path / "out")
    assert first.outcome.teacher["calls"] == 6
    with closing(VerdictStore(verdict_store())) as store:
        texts = [reply["text"] for reply in store.records() if reply["text"].startswith("Answer: A")]
    assert len(texts) > 3  # the others are the judge's, or empty
    assert not [text for text in texts if " the" in text]
    assert first.outcome.counts.kinds[1].teacher.dollars == first.outcome.counts.kinds[1].judge.dollars == 0
    assert first.outcome.counts.kinds[1].tally.attempted == 6
    again = make(run, tmp_path / "again")
    assert (again.outcome.teacher["calls"], again.outcome.judge["calls"]) == (0, 0)
    assert files(tmp_path / "again") == files(tmp_path / "out")
