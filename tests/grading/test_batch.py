"""Batch mode against a real server that counts what is submitted to it."""

from __future__ import annotations

import io
import json
import logging
import random
import signal
import sqlite3
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from grading import Grader, State, UserError, Verdict, resolve_judge
from grading.batch.file import read_results
from grading.cost.budget import Budget
from grading.home import StorePlace
from grading.store.batches import BatchStore
from grading.verdict import Vote
from tests.forks import Fork
from tests.grading.batch_run import REQUESTS, batch_grader, decided, run_batch
from tests.servers.chat import ChatServer, expected_marks
from tests.servers.postgres import PostgresServer

pytestmark = pytest.mark.slow

FEW = REQUESTS[:12]  # which make as many requests to the endpoint, of three votes each
PRICE = {"input": 2.0, "cached_input": 0.5, "output": 8.0, "batch": 0.5}

MakeGrader = Callable[..., Grader]


@pytest.fixture
def store(tmp_path: Path, request: pytest.FixtureRequest) -> StorePlace:
    if getattr(request, "param", "sqlite") == "sqlite":
        return tmp_path / "verdicts.sqlite"
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.new_store()


# The tests that depend on the store most.
on_both = pytest.mark.parametrize("store", ["sqlite", "postgres"], indirect=True)


@pytest.fixture(autouse=True)
def _several_votes(chat_server: ChatServer) -> None:
    chat_server.set(n="honour", models=["judge-1"])


@pytest.fixture
def make_grader(chat_server: ChatServer, store: StorePlace) -> MakeGrader:
    def make(most_requests: int = 50_000, **options: Any) -> Grader:
        return batch_grader(store, chat_server.base_url, most_requests, **options)

    return make


def majorities(number: int) -> list[dict[str, bool]]:
    """What three votes of the judge decide on each of the first requests."""
    found = []
    for request in REQUESTS[:number]:
        marks = [expected_marks(request.answer, ("s1", "topic"), seed) for seed in range(3)]
        found.append({c: sum(mark[c] for mark in marks) >= 2 for c in ("s1", "topic")})
    return found


def votes(verdicts: list[Verdict]) -> list[Vote]:
    return [vote for verdict in verdicts for vote in verdict.votes]


def open_batches(store: StorePlace) -> list[tuple[str, int]]:
    batches = BatchStore(store)
    try:
        return [(batch.remote, len(batch.keys)) for batch in batches.open()]
    finally:
        batches.close()


@on_both
def test_votes_in_batches_are_the_votes_of_live_calls(
    chat_server: ChatServer, make_grader: MakeGrader, store: StorePlace
):
    chat_server.set(batch_polls=3)
    grader = make_grader()
    verdicts = grader.grade(FEW, progress=False)
    assert decided(verdicts) == majorities(12)
    counts = chat_server.counts()
    assert (counts.batches, set(counts.submitted.values()), len(counts.submitted)) == (1, {1}, 12)
    assert "POST /v1/chat/completions" not in counts.routes
    assert grader.stats.calls == 36
    assert grader.stats.usage.prompt == counts.tokens["judge"]["prompt"]
    assert open_batches(store) == []
    live = Grader(resolve_judge("judge-1", base_url=chat_server.base_url), store)
    assert decided(live.grade(FEW, progress=False)) == majorities(12)
    assert (live.stats.calls, live.stats.stored) == (0, 36)


def test_a_file_holds_so_many_requests_and_several_batches_run_at_once(
    chat_server: ChatServer, make_grader: MakeGrader
):
    chat_server.set(batch_polls=2)
    assert decided(make_grader(5).grade(FEW, progress=False)) == majorities(12)
    counts = chat_server.counts()
    assert (counts.batches, len(counts.submitted)) == (3, 12)
    assert counts.batch_looks == 6  # none ended before all were looked at


def test_a_file_holds_so_many_bytes(chat_server: ChatServer, make_grader: MakeGrader):
    grader = make_grader()
    grader._asker._backend.most_bytes = 5_000  # type: ignore[attr-defined]
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    sizes = [len(json.dumps(entry.body)) for entry in chat_server.log("judge")]
    assert max(sizes) < 5_000 < sum(sizes)
    assert 1 < sum(sizes) / 5_000 < chat_server.counts().batches < 12


def test_votes_that_are_no_verdict_are_asked_again_in_a_further_batch(
    chat_server: ChatServer, make_grader: MakeGrader
):
    chat_server.set(judge_script=["refusal", "truncated"])
    verdicts = make_grader().grade(FEW, progress=False)
    assert None not in [earned for one in decided(verdicts) for earned in one.values()]
    assert {State.REFUSED, State.TRUNCATED} < {vote.state for vote in votes(verdicts)}
    assert (chat_server.counts().batches, len(chat_server.counts().submitted)) == (2, 14)


def test_an_endpoint_that_gives_one_reply_a_request(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(n="ignore")
    assert decided(make_grader(5).grade(FEW, progress=False)) == majorities(12)
    counts = chat_server.counts()
    assert (len(counts.submitted), set(counts.submitted.values())) == (36, {1})
    assert [entry.body.get("n", 1) for entry in chat_server.log("judge")].count(3) == 12
    chat_server.set(n="honour", refuse_params=["n"])
    grader = make_grader(temperature=1.0)
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    assert grader.record()["refused_parameters"] == []  # it changes no vote


@pytest.mark.parametrize("fault", ["500", "429", "no-choices", "cut"])
def test_items_that_failed_go_out_again_alone(chat_server: ChatServer, make_grader: MakeGrader, fault: str):
    chat_server.set(judge_faults={fault: 0.4}, fault_attempts=1)
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
    counts = chat_server.counts()
    assert counts.batches == 2
    assert 0 < counts.faults[fault] < 12
    assert sum(counts.submitted.values()) == 12 + counts.faults[fault]
    assert max(counts.submitted.values()) == 2


def test_items_that_keep_failing_end_in_a_state_after_two_more_rounds(
    chat_server: ChatServer, make_grader: MakeGrader, store: Path
):
    chat_server.set(judge_faults={"500": 1.0})
    verdicts = make_grader().grade(FEW, progress=False)
    assert {vote.state for vote in votes(verdicts)} == {State.API_FAILED}
    assert all("status 500" in vote.detail for vote in votes(verdicts))
    assert set(chat_server.counts().submitted.values()) == {3}
    assert open_batches(store) == []
    chat_server.set(judge_faults={})  # a failure is not stored: the next run asks again
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)


def test_what_cannot_succeed_is_not_sent_again(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(judge_faults={"400": 1.0})
    verdicts = make_grader().grade(FEW, progress=False)
    assert {vote.state for vote in votes(verdicts)} == {State.API_FAILED}
    assert set(chat_server.counts().submitted.values()) == {1}


def test_an_expired_batch_keeps_its_replies_and_the_rest_goes_out_again(
    chat_server: ChatServer, make_grader: MakeGrader
):
    chat_server.set(batch_script=["expired"], batch_answered=7)
    grader = make_grader()
    assert decided(grader.grade(FEW, progress=False)) == majorities(12)
    counts = chat_server.counts()
    assert sorted(counts.submitted.values()) == [1] * 7 + [2] * 5
    assert (grader.stats.calls, counts.received["judge"]) == (36, 12)


def test_a_cancelled_batch_keeps_its_replies_and_nothing_goes_out_again(
    chat_server: ChatServer, make_grader: MakeGrader
):
    chat_server.set(batch_script=["cancelled"], batch_answered=7)
    verdicts = make_grader().grade(FEW, progress=False)
    states = [vote.state for vote in votes(verdicts)]
    assert (states.count(State.GRADED), states.count(State.API_FAILED)) == (21, 15)
    assert any("cancelled" in vote.detail for vote in votes(verdicts))
    assert chat_server.counts().batches == 1
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)  # what was lost is asked for now


def test_a_batch_that_fails_as_a_whole_is_sent_again(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_script=["failed", "failed"])
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
    assert (chat_server.counts().batches, set(chat_server.counts().submitted.values())) == (3, {1})
    chat_server.set(batch_script=["failed"] * 3)
    verdicts = make_grader(temperature=1.0).grade(FEW, progress=False)
    assert all("cannot be processed" in vote.detail for vote in votes(verdicts))
    assert chat_server.counts().batches == 6


def test_a_full_queue_is_waited_for(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_queue=10, batch_polls=4)
    assert decided(make_grader(5).grade(REQUESTS[:30], progress=False)) == majorities(30)
    counts = chat_server.counts()
    assert set(counts.submitted.values()) == {1}
    assert 6 < counts.batches <= 6 + 5  # six that ran, and few that were tried too early


def test_too_many_batches_at_once_are_waited_for(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_open=2, batch_polls=3)
    assert decided(make_grader(5).grade(FEW, progress=False)) == majorities(12)
    counts = chat_server.counts()
    assert (counts.batches, set(counts.submitted.values())) == (3, {1})


def test_a_batch_too_large_for_the_queue_is_made_smaller(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_queue=4, batch_polls=2)
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
    assert set(chat_server.counts().submitted.values()) == {1}


def test_a_queue_that_takes_nothing_ends_in_a_state(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_queue=0)
    verdicts = make_grader().grade(FEW, progress=False)
    assert {vote.state for vote in votes(verdicts)} == {State.API_FAILED}
    assert "not even one request" in votes(verdicts)[0].detail


def test_the_queue_of_others_is_waited_for(chat_server: ChatServer, make_grader: MakeGrader, tmp_path: Path):
    """Another rank or another project of the account fills the queue: its batch ends, and ours goes whole."""
    chat_server.set(batch_queue=12, batch_polls=40)
    with ThreadPoolExecutor(1) as pool:
        other = batch_grader(tmp_path / "other.sqlite", chat_server.base_url, seed=5)
        running = pool.submit(other.grade, FEW, progress=False)
        chat_server.wait(lambda counts: counts.batches == 1)
        assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
        assert running.result()
    assert set(chat_server.counts().submitted.values()) == {1}
    assert chat_server.counts().batches <= 4


@pytest.mark.parametrize(
    ("behaviour", "refused"),
    [
        ({"json_schema": "refuse"}, ["json_schema"]),
        ({"max_tokens": "refuse"}, ["max_tokens"]),
        (
            {"refuse_params": ["seed"], "json_schema": "refuse", "temperature": "refuse"},
            ["json_schema", "seed", "temperature"],
        ),
    ],
)
def test_parameters_that_are_refused_are_left_out(
    chat_server: ChatServer, make_grader: MakeGrader, behaviour: dict[str, Any], refused: list[str]
):
    chat_server.set(**behaviour, earn=1.0)
    grader = make_grader()
    assert decided(grader.grade(FEW, progress=False)) == [{"s1": True, "topic": True}] * 12
    assert chat_server.counts().batches == 1 + len(refused)
    assert grader.record()["refused_parameters"] == refused
    again = make_grader()
    again.grade(FEW, progress=False)
    assert again.record()["refused_parameters"] == refused


class Killed:
    """A run in a process of its own, killed at a known point, and then run again."""

    def __init__(
        self, server: ChatServer, store: StorePlace, number: int = 12, most_requests: int = 50_000
    ) -> None:
        self.server = server
        self.arguments = (store, server.base_url, number, most_requests)
        self.number = number

    def start(self) -> Fork:
        return Fork(run_batch, *self.arguments)

    def kill_when(self, condition: Callable[[Any], bool]) -> None:
        process = self.start()
        try:
            self.server.wait(condition)
        finally:
            process.kill()

    def finish(self) -> None:
        """Run to the end; the verdicts are those of an unbroken run."""
        done = self.start().wait(300)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout) == majorities(self.number)

    def go_on(self) -> None:
        """Run to the end, and nothing was submitted twice."""
        self.finish()
        counts = self.server.counts()
        assert set(counts.submitted.values()) == {1}
        assert len(counts.submitted) == self.number


@pytest.mark.parametrize("metadata", [True, False])
@pytest.mark.parametrize("route", ["upload", "create", "look", "download"])
def test_a_run_killed_at_any_step_finds_its_batch_again(
    chat_server: ChatServer, store: Path, route: str, metadata: bool
):
    """The server has done its work, and the process dies before it hears of it."""
    chat_server.set(batch_lose=[route], batch_hang=True, batch_polls=2, batch_metadata=metadata)
    run = Killed(chat_server, store)
    run.kill_when(lambda counts: counts.batch_lost == 1)
    run.go_on()
    assert chat_server.counts().batches == 1
    assert open_batches(store) == []


def test_a_run_killed_before_anything_was_sent_starts_anew(chat_server: ChatServer, store: Path):
    """A plan that never left: what was on disk first does no harm."""
    chat_server.set(batch_lose=["upload"], batch_hang=True)
    run = Killed(chat_server, store)
    run.kill_when(lambda counts: counts.batch_lost == 1)
    with sqlite3.connect(store) as db:
        assert db.execute("SELECT remote, file FROM batches").fetchall() == [("", "")]
    run.go_on()
    with sqlite3.connect(store) as db:
        assert db.execute("SELECT COUNT(*) FROM batches").fetchone() == (0,)


def test_a_run_killed_before_its_batch_is_done_asks_for_no_reply_again(chat_server: ChatServer, store: Path):
    """The replies are stored, the errors are not read: only the votes that failed go out again."""
    chat_server.set(judge_faults={"500": 0.3}, fault_attempts=1)
    chat_server.set(batch_lose=["keep download", "download"], batch_hang=True)
    run = Killed(chat_server, store)
    run.kill_when(lambda counts: counts.batch_lost == 1)
    failed = chat_server.counts().faults["500"]
    assert 0 < failed < 12
    with sqlite3.connect(store) as db:
        assert db.execute("SELECT COUNT(*) FROM replies").fetchone() == (36 - 3 * failed,)
    run.finish()
    assert sorted(chat_server.counts().submitted.values()) == [1] * (12 - failed) + [2] * failed


def test_what_the_environment_says_for_openai_goes_nowhere_else(
    chat_server: ChatServer, make_grader: MakeGrader, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("OPENAI_ORG_ID", "org-secret")
    monkeypatch.setenv("OPENAI_PROJECT_ID", "proj-secret")
    chat_server.set(refuse_headers=["OpenAI-Organization", "OpenAI-Project"])
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)


def test_a_lost_reply_to_create_does_not_make_a_second_batch(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_lose=["create"])
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
    assert chat_server.counts().batch_lost == chat_server.counts().batches == 1


def test_an_old_batch_is_found_behind_many_newer_ones(chat_server: ChatServer, store: Path, tmp_path: Path):
    chat_server.set(batch_lose=["create"], batch_hang=True)
    Killed(chat_server, store).kill_when(lambda counts: counts.batch_lost == 1)
    chat_server.set(batch_hang=False, n="ignore")
    batch_grader(tmp_path / "o.sqlite", chat_server.base_url, 1, seed=9).grade(REQUESTS, progress=False)
    before = chat_server.counts().batches
    assert before > 100  # the list has pages of a hundred
    chat_server.set(n="honour")
    Killed(chat_server, store).finish()
    assert chat_server.counts().batches == before


@on_both
def test_kills_at_random_moments(chat_server: ChatServer, store: StorePlace):
    chat_server.set(batch_polls=8)
    run, moments = Killed(chat_server, store, 40, 6), random.Random(4)
    kills = 0
    for _ in range(10):
        before = chat_server.counts().routes.get("POST /v1/files", 0)
        process = run.start()
        try:
            if not before:
                chat_server.wait(lambda counts: counts.routes.get("POST /v1/files", 0) > 0)
            time.sleep(0.6 * moments.random())
        finally:
            kills += process.kill() == -signal.SIGKILL
    assert kills > 3
    run.go_on()
    assert chat_server.counts().batches == 7


@on_both
def test_two_runs_at_once_share_their_batches(chat_server: ChatServer, store: StorePlace):
    chat_server.set(batch_polls=100)
    runs = [Killed(chat_server, store, 12, 5) for _ in range(2)]
    processes = [run.start() for run in runs]
    outputs = [process.wait(300) for process in processes]
    assert [json.loads(done.stdout) for done in outputs] == [majorities(12)] * 2, outputs
    assert chat_server.counts().batches == 3
    assert set(chat_server.counts().submitted.values()) == {1}


@on_both
def test_a_second_run_does_not_send_what_the_first_is_sending(
    chat_server: ChatServer, store: StorePlace, make_grader: MakeGrader
):
    chat_server.set(batch_lose=["upload"], batch_hang=True)
    first = Killed(chat_server, store).start()
    try:
        chat_server.wait(lambda counts: counts.batch_lost == 1)
        with ThreadPoolExecutor(1) as pool:
            second = pool.submit(make_grader().grade, FEW, progress=False)
            time.sleep(1)
            assert chat_server.counts().routes["POST /v1/files"] == 1
            first.kill()
            assert decided(second.result(timeout=300)) == majorities(12)
    finally:
        first.kill()
    assert chat_server.counts().batches == 1


def test_replies_that_this_run_did_not_ask_for_are_kept(
    chat_server: ChatServer, store: Path, make_grader: MakeGrader
):
    chat_server.set(batch_polls=10_000)
    Killed(chat_server, store).kill_when(lambda counts: counts.batch_looks > 1)
    chat_server.set(batch_polls=1)
    assert decided(make_grader().grade(FEW[:1], progress=False)) == majorities(1)
    after = make_grader()
    assert decided(after.grade(FEW, progress=False)) == majorities(12)
    assert (after.stats.calls, after.stats.stored) == (0, 36)


def test_replies_that_the_provider_has_deleted_are_asked_for_again(
    chat_server: ChatServer, store: Path, make_grader: MakeGrader
):
    chat_server.set(batch_polls=10_000)
    Killed(chat_server, store).kill_when(lambda counts: counts.batch_looks > 1)
    chat_server.set(batch_polls=1, batch_files_kept=False)
    verdicts = make_grader().grade(FEW, progress=False)
    assert all("has deleted the replies" in vote.detail for vote in votes(verdicts))
    chat_server.set(batch_files_kept=True)
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)


def test_a_batch_of_another_account_is_not_paid_for_again_in_silence(
    chat_server: ChatServer, store: Path, make_grader: MakeGrader
):
    chat_server.set(batch_polls=10_000)
    Killed(chat_server, store).kill_when(lambda counts: counts.batch_looks > 1)
    chat_server.reset()  # it knows no batch any more
    with pytest.raises(
        UserError, match=r"does not know the batch batch_0, whose 36 votes .*prune --batches --yes"
    ):
        make_grader().grade(FEW, progress=False)
    assert chat_server.counts().batches == 0


def test_an_interrupt_says_that_the_batches_go_on(chat_server: ChatServer, store: Path):
    chat_server.set(batch_polls=10_000)
    process = Killed(chat_server, store).start()
    chat_server.wait(lambda counts: counts.batch_looks > 1)
    process.interrupt()
    said = process.wait(300).stderr
    assert "These batches continue at the provider: batch_0. Grade again to fetch them." in said
    assert open_batches(store) == [("batch_0", 36)]


def test_a_live_run_says_that_its_votes_are_in_a_batch(
    chat_server: ChatServer, store: Path, caplog: pytest.LogCaptureFixture
):
    chat_server.set(batch_polls=10_000)
    Killed(chat_server, store).kill_when(lambda counts: counts.batch_looks > 1)
    live = Grader(resolve_judge("judge-1", base_url=chat_server.base_url), store)
    live.grade(FEW[:2], progress=False)
    assert "6 of these votes are in open batches (batch_0) and are now paid for a second time" in caplog.text
    caplog.clear()
    live.grade(FEW[:2], progress=False)
    live.grade(REQUESTS[20:22], progress=False)
    assert "open batches" not in caplog.text


def test_an_outage_while_waiting_passes(chat_server: ChatServer, make_grader: MakeGrader):
    chat_server.set(batch_polls=3, batch_lose=["look", "look", "download"])
    assert decided(make_grader().grade(FEW, progress=False)) == majorities(12)
    assert chat_server.counts().batch_lost == 3


def test_a_batch_that_is_refused_is_a_state_with_the_reason(
    chat_server: ChatServer, make_grader: MakeGrader, store: Path
):
    grader = make_grader()
    chat_server.set(fail_all=403)
    verdicts = grader.grade(FEW, progress=False)
    assert {vote.state for vote in votes(verdicts)} == {State.API_FAILED}
    assert "not submitted: PermissionDeniedError" in votes(verdicts)[0].detail
    assert open_batches(store) == []


def stored(store: Path) -> int:
    with sqlite3.connect(store) as db:
        [number] = db.execute("SELECT COUNT(*) FROM replies").fetchone()
    return int(number)


def test_a_cap_sends_what_fits_and_the_rest_once_that_is_paid_for(
    chat_server: ChatServer, make_grader: MakeGrader, store: Path
):
    budget = Budget(max_tokens=7_500)
    grader = make_grader(budget=budget)
    verdicts = grader.grade(REQUESTS, progress=False)
    counts = chat_server.counts()
    tokens = counts.tokens["judge"]
    assert tokens["prompt"] + tokens["completion"] == budget.spent.tokens <= 7_500
    assert budget.spent.tokens > 7_500 - 3_000  # the most that a call may use
    assert counts.batches > 1
    states = [vote.state for vote in votes(verdicts)]
    assert states.count(State.OVER_BUDGET) == 120 - stored(store) > 0
    rest = make_grader()
    assert decided(rest.grade(REQUESTS, progress=False)) == majorities(40)
    assert set(chat_server.counts().submitted.values()) == {1}


def test_batches_cost_their_share(
    chat_server: ChatServer, make_grader: MakeGrader, caplog: pytest.LogCaptureFixture
):
    caplog.set_level(logging.INFO)
    grader = make_grader(price=PRICE, budget=Budget(max_usd=1))
    grader.grade(FEW, progress=False)
    tokens = chat_server.counts().tokens["judge"]
    dollars = (tokens["prompt"] * 2.0 + tokens["completion"] * 8.0) / 2 / 1e6
    record = grader.record()
    assert record["spent"]["dollars"] == pytest.approx(dollars)
    assert record["budget"]["run_dollars"] == pytest.approx(dollars)
    assert record["price"]["source"] == "given by the user; in batches 0.5 of it"
    assert (record["price"]["input"], record["price"]["output"]) == (1.0, 4.0)
    assert "Submitted batch batch_0 of 36 votes" in caplog.text
    assert "Batch batch_0 is completed: 36 votes of this run are done, 0 are submitted again" in caplog.text
    assert chat_server.base_url not in "".join(
        one.getMessage() for one in caplog.records if one.name.startswith("grading")
    )


def test_known_prices_are_halved_and_unknown_shares_are_not_guessed():
    known = resolve_judge("gpt-4.1-2025-04-14").in_batches().price
    assert known is not None
    assert (known.input, known.output, known.cached_input) == (1.0, 4.0, None)
    own = resolve_judge("gpt-4.1-2025-04-14", price={"input": 3, "output": 6}).in_batches().price
    assert own is not None
    assert (own.input, own.output) == (1.5, 3.0)
    other = (
        resolve_judge({"model": "m", "price": {"input": 3, "output": 6}}, base_url="http://h/v1")
        .in_batches()
        .price
    )
    assert other is not None
    assert (other.input, other.output) == (3.0, 6.0)


class TestCheck:
    def test_a_good_endpoint_passes_and_is_sent_nothing(self, chat_server: ChatServer, make_grader: MakeGrader):
        make_grader().check()
        assert set(chat_server.counts().routes) == {"GET /v1/models", "GET /v1/batches"}

    def test_an_endpoint_without_batches(self, chat_server: ChatServer, make_grader: MakeGrader):
        chat_server.set(batches=False)
        with pytest.raises(UserError, match=r"has no Batch API \(status 404\): leave out the setting `batch`"):
            make_grader().check()

    def test_a_judge_in_this_process(self, store: Path):
        with pytest.raises(UserError, match="runs in this process and has no Batch API"):
            Grader(resolve_judge("hf:somewhere"), store, batch=True)


@pytest.mark.parametrize(
    "line",
    [
        b"",
        b"{",
        b"[1]",
        b'{"custom_id": 4}',
        b'{"custom_id": "k", "response": {"status_code": "x"}}',
        b"\xff",
        b"[" * 99_999,
    ],
)
def test_a_line_that_is_none_says_nothing(line: bytes):
    assert list(read_results(io.BytesIO(line + b"\n"))) == []
