"""Numbers from outside: usage, prices, settings and times, as an endpoint or a file of another may give them."""

from __future__ import annotations

import json
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from grading import Budget, Criterion, Grader, GradingRequest, State, Usage, UserError, Verdict, resolve_judge
from grading.backend import Reply
from grading.store.cli import app as store_app
from grading.store.replies import VerdictStore
from skillmix_tasks.harness.settings import one_setting, read_settings
from tests.servers.charging import Charge, ChargingServer, honest
from tests.servers.chat import ChatServer
from training.texts.plan import choose_plan
from training.texts.teacher import Teacher, resolve_teacher
from training.tune.recipe import load_recipe

pytestmark = pytest.mark.slow

CRITERIA = (Criterion("s1", "It has a metaphor."), Criterion("topic", "It is about rain."))
REQUESTS = [
    GradingRequest("Write about rain.", CRITERIA, f"Rain number {number} fell like a tired drum.")
    for number in range(40)
]
VOTES = 3 * len(REQUESTS)
PRICE = {"input": 2.0, "cached_input": 0.5, "output": 8.0}
CAP = 0.2  # dollars
IN_FLIGHT = 64


def growing(number: int) -> int:
    """Tokens of a reply: from 60 to 1,000, all within max_tokens."""
    return min(60 + 8 * number, 1000)


def reporting(**usage: Any) -> Callable[[Charge], str]:
    """Usage as it is, but for what is given."""
    return lambda charge: json.dumps(json.loads(honest(charge)) | usage)


# How an endpoint may report what a call has used; "" is not at all.
KINDS: dict[str, Callable[[Charge], str]] = {
    "true": honest,
    "missing": lambda _: "",
    "null": lambda _: "null",
    "empty": lambda _: "{}",
    "text": lambda _: '"many"',
    "list": lambda _: "[1, 2]",
    "zero": reporting(prompt_tokens=0, completion_tokens=0, total_tokens=0),
    "zero completion": reporting(completion_tokens=0),
    "negative": reporting(prompt_tokens=-5_000_000, completion_tokens=-7),
    "negative completion": reporting(completion_tokens=-(10**9)),
    "strings": reporting(prompt_tokens="120", completion_tokens="60"),
    "true as a number": reporting(prompt_tokens=True, completion_tokens=True),
    "NaN": reporting(prompt_tokens=math.nan, completion_tokens=math.nan),
    "infinite": reporting(completion_tokens=math.inf),
    "negative infinite": reporting(prompt_tokens=-math.inf),
    "1e999": lambda charge: honest(charge).replace("}", ', "total_tokens": 1e999}'),
    "above int64": reporting(prompt_tokens=2**63, completion_tokens=2**64),
    "thousands of digits": lambda _: f'{{"prompt_tokens": {"9" * 5000}, "completion_tokens": 60}}',
    "cached above prompt": reporting(prompt_tokens_details={"cached_tokens": 250_000_000}),
    "cached a little above": lambda charge: reporting(prompt_tokens_details={"cached_tokens": charge.prompt + 1})(
        charge
    ),
    "cached negative": reporting(prompt_tokens_details={"cached_tokens": -(2**40)}),
    "cached NaN": reporting(prompt_tokens_details={"cached_tokens": math.nan}),
    "nested nulls": reporting(prompt_tokens_details=None, completion_tokens_details={"reasoning_tokens": None}),
    "nested lists": reporting(prompt_tokens_details=[1], completion_tokens_details="none"),
    "negative reasoning": reporting(completion_tokens_details={"reasoning_tokens": -(10**9)}),
    "negative total": reporting(total_tokens=-1),
    "fractions": lambda charge: json.dumps(
        {"prompt_tokens": charge.prompt - 0.5, "completion_tokens": charge.completion - 0.5}
    ),
    "reasoning beside the completion": lambda charge: json.dumps(
        {
            "prompt_tokens": charge.prompt,
            "completion_tokens": 20,
            "completion_tokens_details": {"reasoning_tokens": charge.completion - 20},
        }
    ),
    "reasoning in the total only": lambda charge: json.dumps(
        {
            "prompt_tokens": charge.prompt,
            "completion_tokens": 20,
            "total_tokens": charge.prompt + charge.completion,
        }
    ),
}


def grader(server: ChargingServer | ChatServer, store: Path, budget: Budget, **options: Any) -> Grader:
    judge = resolve_judge({"model": "judge-1", "price": PRICE}, base_url=server.base_url)
    how: dict[str, Any] = {"concurrency": IN_FLIGHT, "adaptive": False, "budget": budget}
    return Grader(judge, store, **how | options)


def rows(store: Path) -> int:
    with sqlite3.connect(store) as db:
        [number] = db.execute("SELECT COUNT(*) FROM replies").fetchone()
    return int(number)


def states(verdicts: list[Verdict]) -> set[State]:
    return {vote.state for verdict in verdicts for vote in verdict.votes}


def store_stats(store: Path) -> dict[str, Any]:
    done = CliRunner().invoke(store_app, ["stats", "--file", str(store), "--json"], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    [judge] = json.loads(done.output)["judges"]
    return dict(judge)


def finite(value: Any) -> bool:
    """Whether all numbers in a record are finite and none is negative."""
    if isinstance(value, dict):
        return all(map(finite, value.values()))
    return not isinstance(value, int | float) or 0 <= value < math.inf


# -- usage


@pytest.mark.parametrize("kind", KINDS)
def test_a_cap_holds_whatever_an_endpoint_reports(kind: str, tmp_path: Path, record_property):
    """64 in flight, replies from 60 to 1,000 tokens, a cap that pays for some of them."""
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(KINDS[kind], completion=growing, latency=0.01) as server:
        one = grader(server, store, Budget(max_usd=CAP))
        verdicts = one.grade(REQUESTS, progress=False)
        one.close()
    paid = server.charged(input_=PRICE["input"], output=PRICE["output"])
    record = one.record()
    record_property("measured", (kind, len(server.charges), round(paid, 4), round(record["spent"]["dollars"], 4)))
    assert paid <= CAP
    assert record["budget"]["run_dollars"] <= CAP
    assert finite(record)
    assert record["spent"]["dollars"] > 0
    # What was paid for is stored, and the rest has a state.
    assert rows(store) == record["calls"] == len(server.charges) < VOTES
    assert states(verdicts) == {State.GRADED, State.OVER_BUDGET}
    assert record["budget"]["calls_not_sent"] == VOTES - len(server.charges)
    stats = store_stats(store)
    assert finite(stats)
    assert stats["votes"] == len(server.charges)


UNKNOWN = (
    "missing",
    "null",
    "empty",
    "text",
    "zero",
    "zero completion",
    "negative",
    "strings",
    "NaN",
    "infinite",
    "above int64",
    "thousands of digits",
)


@pytest.mark.parametrize("kind", UNKNOWN)
def test_usage_that_is_none_is_estimated_and_said(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture):
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(KINDS[kind]) as server:
        one = grader(server, store, Budget())
        one.grade(REQUESTS[:2], progress=False)
        record = one.record()
        assert record["calls_without_usage"] == record["calls"] == 6
        assert "6 replies of judge-1 reported no valid token usage" in caplog.text
        # By the length of prompt and reply: near what the endpoint, which does the same, has charged.
        assert record["spent"]["prompt_tokens"] == pytest.approx(sum(c.prompt for c in server.charges), rel=0.01)
        assert record["spent"]["completion_tokens"] == 6 * 20
        one.close()
        again = grader(server, store, Budget())
        again.grade(REQUESTS[:2], progress=False)
        assert (again.stats.calls, again.record()["saved"]) == (0, record["spent"])
        again.close()
    stats = store_stats(store)
    assert (stats["votes"], stats["without_usage"], stats["prompt_tokens"], stats["dollars"]) == (6, 6, 0, None)


def test_usage_that_is_known_is_no_estimate(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    with ChargingServer(completion=growing) as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget())
        one.grade(REQUESTS[:2], progress=False)
    assert one.record()["calls_without_usage"] == 0
    assert one.stats.usage.completion == sum(charge.completion for charge in server.charges)
    assert "no valid token usage" not in caplog.text


@pytest.mark.parametrize(
    ("report", "completion"),
    [
        (reporting(prompt_tokens=100_000), 60),
        (honest, 50_000),
        (reporting(completion_tokens_details={"reasoning_tokens": 40_000}), 60),
        (reporting(total_tokens=2_000_000), 60),
    ],
    ids=["prompt", "completion", "reasoning", "total"],
)
def test_a_reply_over_its_reservation_ends_the_run_and_says_so(
    report: Callable[[Charge], str], completion: int, tmp_path: Path, caplog: pytest.LogCaptureFixture
):
    """From the first reply on: it comes alone, and nothing follows it, though the cap is far away."""
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(report, completion=lambda _: completion) as server:
        one = grader(server, store, Budget(max_usd=50))
        verdicts = one.grade(REQUESTS, progress=False)
    assert len(server.charges) == rows(store) == 1
    assert one.record()["budget"]["replies_over_reservation"] == 1
    [detail] = {vote.detail for verdict in verdicts for vote in verdict.votes if vote.state is State.OVER_BUDGET}
    assert detail.startswith("not asked: max_usd = 50 ended the run, since a reply cost $")
    assert "max_usd = 50 ended the run" in caplog.text
    assert verdicts[0].votes[0].state is State.GRADED


def test_a_reply_over_its_reservation_in_the_middle_stops_what_has_not_left(tmp_path: Path):
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(completion=lambda number: 60 if number < 50 else 100_000, latency=0.01) as server:
        one = grader(server, store, Budget(max_usd=50), concurrency=8)
        one.grade(REQUESTS, progress=False)
    assert 50 < len(server.charges) <= 50 + 8  # which were in flight
    assert rows(store) == len(server.charges)
    assert one.record()["budget"]["replies_over_reservation"] == len(server.charges) - 50


def test_without_a_cap_a_large_reply_ends_nothing(tmp_path: Path):
    with ChargingServer(reporting(prompt_tokens=100_000)) as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget())
        verdicts = one.grade(REQUESTS, progress=False)
    assert states(verdicts) == {State.GRADED}


@pytest.mark.parametrize("budget", [Budget(), Budget(max_usd=5)], ids=["free", "capped"])
def test_a_generous_cap_takes_no_request_out_of_flight(tmp_path: Path, budget: Budget):
    """As many are in flight with a cap as without one."""
    with ChatServer(models=["judge-1"], hold_after=2) as server, ThreadPoolExecutor(1) as pool:
        one = grader(server, tmp_path / "verdicts.sqlite", budget, concurrency=16)
        graded = pool.submit(one.grade, REQUESTS, progress=False)
        server.wait(lambda counts: counts.held == 16, timeout=60)
        server.release()
        assert states(graded.result()) == {State.GRADED}


@pytest.mark.parametrize(
    "kind", ["missing", "negative", "above int64", "thousands of digits", "cached above prompt"]
)
def test_usage_in_batch_results(kind: str, tmp_path: Path):
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(KINDS[kind], completion=growing) as server:
        one = grader(server, store, Budget(max_usd=CAP), batch=True)
        verdicts = one.grade(REQUESTS[:12], progress=False)
    assert State.GRADED in states(verdicts)
    record = one.record()
    assert finite(record)
    assert server.charged(input_=2.0, output=8.0) <= CAP
    assert rows(store) == record["calls"] == len(server.charges)


@pytest.mark.parametrize("kind", ["missing", "negative", "above int64", "cached above prompt", "NaN"])
def test_usage_of_a_teacher(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    with ChargingServer(KINDS[kind], completion=growing, latency=0.01) as server:
        monkeypatch.setenv("SKILLMIX_PRICES", str(tmp_path / "prices.yaml"))
        row = {"provider": "127.0.0.1", "model": "judge-1", **PRICE}
        (tmp_path / "prices.yaml").write_text(json.dumps({"prices": [row]}))
        teacher = Teacher(
            resolve_teacher("judge-1", base_url=server.base_url),
            tmp_path / "verdicts.sqlite",
            adaptive=False,
            budget=Budget(max_usd=CAP),
        )
        asked = [({"role": "user", "content": f"Write text {number}."},) for number in range(100)]
        replies = teacher.write(asked, progress=False)
    assert {reply.state for reply in replies} == {State.GRADED, State.OVER_BUDGET}
    assert server.charged(input_=2.0, output=8.0) <= CAP
    assert finite(teacher.record())
    assert sum(reply.usage.prompt for reply in replies) > 0


def test_more_choices_than_were_asked_for_are_paid_for(tmp_path: Path):
    """An endpoint that writes ten replies for one: the one is kept, all are counted."""
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer(reporting(completion_tokens=900)) as server:
        plain = server.chat
        server.chat = lambda body, came: json.dumps(  # type: ignore[method-assign]
            (whole := json.loads(plain(body, came))) | {"choices": whole["choices"] * 10}
        )
        one = grader(server, store, Budget())
        one.grade(REQUESTS[:1], progress=False)
    assert one.stats.usage.completion == 900 * len(server.charges)


def test_a_body_without_a_reply_is_paid_for_if_it_says_so(tmp_path: Path):
    with ChargingServer() as server:
        server.chat = lambda *_: '{"choices": [], "usage": {"prompt_tokens": 900, "completion_tokens": 100}}'  # type: ignore[method-assign]
        one = grader(server, tmp_path / "verdicts.sqlite", Budget(max_tokens=4_000))
        verdicts = one.grade(REQUESTS, progress=False)
    assert states(verdicts) == {State.API_FAILED, State.OVER_BUDGET}
    assert 0 < one.budget.spent.tokens == one.stats.usage.prompt + one.stats.usage.completion <= 4_000


@pytest.mark.parametrize(
    "row",
    [
        (-5, 10, 0),
        (10, 5, 485_000_000),
        (2**62, 2**62, 0),
        ("many", 5, 0),
        (1e300, 5, 0),
        (10, 5, "none"),
        (b"\x00", 1, 0),
    ],
    ids=["negative", "cached above prompt", "sum above int64", "text", "float", "cached text", "bytes"],
)
def test_rows_of_other_hands_in_the_store(row: tuple[object, ...], tmp_path: Path):
    store = tmp_path / "verdicts.sqlite"
    with ChargingServer() as server:
        one = grader(server, store, Budget())
        one.grade(REQUESTS[:2], progress=False)
        one.close()
        with sqlite3.connect(store) as db:
            db.execute("UPDATE replies SET prompt_tokens = ?, completion_tokens = ?, cached_tokens = ?", row)
        again = grader(server, store, Budget(max_usd=0))
        again.grade(REQUESTS[:2], progress=False)
        assert again.stats.stored == 6
        assert finite(again.record())
        again.close()
    stats = store_stats(store)
    assert finite(stats)
    # The price of this model is not in the table, and so the tokens say it.
    assert stats["prompt_tokens"] <= 6 * 10
    assert stats["cached_tokens"] <= stats["prompt_tokens"]


def test_a_reply_whose_usage_no_column_holds_is_stored_without_it(tmp_path: Path):
    store = VerdictStore(tmp_path / "verdicts.sqlite")
    store.write("key", "judge", Reply(State.GRADED, "{}", usage=Usage(2**70, 5)))
    assert store.read(["key"]) == {"key": Reply(State.GRADED, "{}")}
    store.close()


# -- prices


@pytest.mark.parametrize(
    "price",
    [
        {"input": math.inf, "output": 1},
        {"input": math.nan, "output": 1},
        {"input": -1, "output": 1},
        {"input": "2.0", "output": 1},
        {"input": True, "output": 1},
        {"input": 1, "output": 1e308},
        {"input": 10**400, "output": 1},
        {"input": 1, "output": -math.inf},
        {"input": 1, "cached_input": 2, "output": 1},
        {"input": 1, "output": 1, "batch": math.nan},
        {"input": None, "output": 1},
    ],
    ids=str,
)
def test_a_price_that_is_none_is_refused_in_one_sentence(
    price: dict[str, Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    with pytest.raises(UserError, match="price") as raised:
        resolve_judge({"model": "m", "price": price}, base_url="http://127.0.0.1:9/v1")
    assert "\n" not in str(raised.value)
    with pytest.raises(UserError, match=r'setting \'price.* under "skillmix" is wrong'):
        read_settings({"skillmix": {"price": price}})
    fields = ", ".join(f"{name}: {_yaml(value)}" for name, value in price.items())
    (tmp_path / "prices.yaml").write_text(f"prices:\n- {{provider: 127.0.0.1, model: m, {fields}}}\n")
    monkeypatch.setenv("SKILLMIX_PRICES", str(tmp_path / "prices.yaml"))
    with pytest.raises(UserError, match=r"price file .*prices\.yaml.* cannot be used"):
        resolve_judge("m", base_url="http://127.0.0.1:9/v1")


def _yaml(value: Any) -> str:
    if isinstance(value, float) and not math.isfinite(value):
        return {"inf": ".inf", "-inf": "-.inf", "nan": ".nan"}[str(value)]
    return json.dumps(value)


def test_a_price_of_thousands_of_digits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = f"prices:\n- {{provider: 127.0.0.1, model: m, input: {'9' * 5000}, output: 1}}\n"
    (tmp_path / "prices.yaml").write_text(text)
    monkeypatch.setenv("SKILLMIX_PRICES", str(tmp_path / "prices.yaml"))
    with pytest.raises(UserError, match="cannot be used"):
        resolve_judge("m", base_url="http://127.0.0.1:9/v1")


# -- settings


@pytest.mark.parametrize(
    ("key", "text"),
    [
        *[("max_usd", text) for text in ("NaN", "Infinity", "-1", "true", "-Infinity", "1e999", "five")],
        *[("max_tokens", text) for text in ("-1", "NaN", "Infinity", "true", "2.5", "9" * 5000)],
        *[("max_missing", text) for text in ("NaN", "Infinity", "-0.1", "1.5", "true")],
        *[("votes", text) for text in ("-3", "0", "2", "NaN", "Infinity", "true", "1000000001")],
        *[("items", text) for text in ("0", "-1", "NaN", "Infinity", "true")],
        *[("seed", text) for text in ("NaN", "Infinity", "1e999", str(10**30), "true")],
        *[("concurrency", text) for text in ("0", "-1", "NaN", "1000000000")],
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_setting_out_of_its_range_is_refused_in_one_sentence(key: str, text: str):
    name, value = one_setting(f"{key}={text}")
    with pytest.raises(UserError, match=key) as raised:
        read_settings({"skillmix": {name: value}}).judges()
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        *[("temperature", value) for value in (math.nan, math.inf, -0.5, 0, "0.7", True)],
        *[("max_tokens", value) for value in (math.inf, -5, 10**30, True, 64.5)],
        *[("seed", value) for value in (math.nan, 2**63, True)],
        *[("votes", value) for value in (math.nan, -1, 4)],
    ],
    ids=lambda value: str(value)[:12],
)
def test_a_field_of_a_judge_out_of_its_range(field: str, value: Any):
    with pytest.raises(UserError, match=f"judge's {field} cannot be used"):
        resolve_judge({"model": "m", field: value}, base_url="http://127.0.0.1:9/v1")


@pytest.mark.parametrize("cap", [math.nan, math.inf, -0.01, True, "5"])
def test_a_budget_takes_no_cap_that_is_no_amount(cap: Any):
    with pytest.raises(UserError, match=r"max_usd = .* is not a cap"):
        Budget(max_usd=cap)


def test_numbers_of_other_commands():
    for scale in (math.nan, math.inf, -1.0, 1e300):
        with pytest.raises(UserError, match="cannot be scaled"):
            choose_plan("paper", [], None, scale)
    with pytest.raises(UserError, match="Name each k once"):
        choose_plan(None, [1], 10**400, 1.0)
    for change in ("learning_rate=.inf", "learning_rate=.nan", "epochs=.inf", "weight_decay=.inf"):
        with pytest.raises(UserError, match="finite number"):
            load_recipe("mistral-7b-instruct-lora", [change])


@pytest.mark.parametrize("days", ["nan", "inf", "1e300"])
def test_days_that_no_calendar_has(days: str, tmp_path: Path):
    path = tmp_path / "verdicts.sqlite"
    store = VerdictStore(path)
    store.write("key", "judge", Reply(State.GRADED, "{}", usage=Usage(1, 1)))
    store.close()
    done = CliRunner().invoke(store_app, ["prune", "--file", str(path), "--older-than", days, "--yes"])
    assert done.exit_code
    assert rows(path) == 1


# -- times


FAR = formatdate(time.time() + 3 * 365 * 86_400, usegmt=True)


@pytest.mark.parametrize(
    "headers",
    [
        {"Retry-After": "94608000"},
        pytest.param({"Retry-After": FAR}, id="a date in three years"),
        {"Retry-After": "999999999999"},
        {"Retry-After": "-94608000"},
        {"Retry-After": "NaN"},
        {"Retry-After": "1e999"},
        {"Retry-After": "9" * 400},
        {"Retry-After": "Fri, 31 Dec 99999 23:59:59 GMT"},
        {"Retry-After": "Fri, 31 Dec 9999999999999999999 23:59:59 GMT"},
        {"Retry-After": "Thu, 01 Jan 1970 00:00:00 GMT"},
        {"retry-after-ms": "94608000000"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "94608000s"},
    ],
    ids=lambda headers: "; ".join(headers.values())[:40],
)
def test_a_wait_that_no_one_can_mean_is_not_waited_for(headers: Mapping[str, str], tmp_path: Path):
    """The first chat and a later one are refused with it; backoff then does, as without a header."""
    refused = {0: 429, 3: 500}
    with ChargingServer(refuse=lambda number: (refused[number], headers) if number in refused else None) as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget(), adaptive=True)
        begun = time.monotonic()
        verdicts = one.grade(REQUESTS[:3], progress=False)
    assert time.monotonic() - begun < 60
    assert states(verdicts) == {State.GRADED}


@pytest.mark.parametrize(
    "headers",
    [
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "94608000"},
        {"x-ratelimit-remaining-requests": "0", "x-ratelimit-reset-requests": "9" * 400 + "d"},
        {"x-ratelimit-remaining-requests": "1", "x-ratelimit-reset-requests": "36500d"},
        {"x-ratelimit-remaining-tokens": "0", "x-ratelimit-reset-tokens": "-5"},
        {"x-ratelimit-remaining-tokens": "-1", "x-ratelimit-reset-tokens": "1d"},
        {"x-ratelimit-remaining-tokens": "NaN", "x-ratelimit-reset-tokens": "NaN"},
        {"x-ratelimit-remaining-tokens": "5", "x-ratelimit-reset-tokens": "1e999"},
    ],
    ids=lambda headers: "; ".join(headers.values())[:40],
)
def test_limits_that_no_one_can_mean_hold_up_no_run(headers: Mapping[str, str], tmp_path: Path):
    with ChargingServer(headers=headers) as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget(), adaptive=True)
        begun = time.monotonic()
        verdicts = one.grade(REQUESTS[:4], progress=False)
    assert time.monotonic() - begun < 60
    assert states(verdicts) == {State.GRADED}


def test_the_check_before_a_run_waits_no_three_years(tmp_path: Path):
    with ChargingServer() as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget())
        server.models_refused = (503, {"Retry-After": "94608000"})
        begun = time.monotonic()
        one.check()  # a chat of one token is answered, and that is enough
    assert time.monotonic() - begun < 60


def test_a_long_wait_is_said_and_one_beyond_belief_too(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    caplog.set_level(logging.WARNING, "grading")
    refusals = [(429, {"Retry-After": "94608000"}), None]
    with ChargingServer(refuse=lambda number: refusals[number] if number < 2 else None) as server:
        one = grader(server, tmp_path / "verdicts.sqlite", Budget(), adaptive=True)
        one.grade(REQUESTS[:1], progress=False)
    assert "names a wait of 9.46e+07 s, more than the 600 s that a run waits" in caplog.text
