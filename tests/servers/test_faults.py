from __future__ import annotations

import json
import time
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import openai
import pytest

from tests.servers.asking import ANSWER, IDS, earned, judge, student, text
from tests.servers.chat import ChatServer, expected_marks
from tests.servers.faults import ANY_ROLE, JUDGE_ONLY, chosen_fault

pytestmark = pytest.mark.slow

if TYPE_CHECKING:
    from collections.abc import Callable

    from openai import OpenAI
    from openai.types.chat import ChatCompletion

pytest_plugins = ["tests.servers.fixtures"]

SOFT: dict[str, Callable[[ChatCompletion], bool]] = {
    "no-choices": lambda c: c.choices == [],
    "truncated": lambda c: c.choices[0].finish_reason == "length" and text(c).startswith('{"criterion 0"'),
    "refusal": lambda c: c.choices[0].message.content is None and "sorry" in str(c.choices[0].message.refusal),
    "refusal-text": lambda c: "sorry" in text(c) and c.choices[0].message.refusal is None,
    "content-filter": lambda c: c.choices[0].finish_reason == "content_filter",
    "empty": lambda c: text(c) == "",
    "reasoning-only": lambda c: text(c) == "" and "reasoning_content" in c.choices[0].message.model_dump(),
    "bad-content": lambda c: "{" not in text(c),
    "wrong-schema": lambda c: not set(json.loads(text(c))) & set(IDS),
    "false-quote": lambda c: all(m["quote"] not in ANSWER for m in json.loads(text(c)).values()),
    "missing-criterion": lambda c: len(json.loads(text(c))) == len(IDS) - 1,
    "slow": lambda c: earned(c) == expected_marks(ANSWER, IDS, 1, 1.0),
}
HARD: dict[str, type[Exception] | tuple[type[Exception], ...]] = {
    "429": openai.RateLimitError,
    "429-retry-after": openai.RateLimitError,
    "429-quota": openai.RateLimitError,
    "500": openai.InternalServerError,
    "503": openai.InternalServerError,
    "502-html": openai.InternalServerError,
    "hang": openai.APITimeoutError,
    "cut": openai.APIConnectionError,
    "bad-body": (json.JSONDecodeError, openai.APIResponseValidationError),
}


def test_every_fault_is_tested() -> None:
    assert (set(SOFT) | set(HARD)) - {"429", "500", "503"} == ANY_ROLE | JUDGE_ONLY


@pytest.mark.parametrize("name", SOFT)
def test_faults_within_a_reply(chat_server: ChatServer, chat_client: OpenAI, name: str) -> None:
    chat_server.set(judge_script=[name], earn=1.0, slow_s=0.2)
    started = time.monotonic()
    assert SOFT[name](judge(chat_client))
    assert name != "slow" or time.monotonic() - started >= 0.2
    assert earned(judge(chat_client)) == expected_marks(ANSWER, IDS, 1, 1.0)
    assert [entry.outcome for entry in chat_server.log()] == [name, "ok"]
    assert chat_server.counts().faults == {name: 1}
    assert chat_server.counts().replied["judge"] == 2


@pytest.mark.parametrize("name", HARD)
def test_faults_instead_of_a_reply(chat_server: ChatServer, chat_client: OpenAI, name: str) -> None:
    chat_server.set(script=[name], retry_after=0.5)
    with pytest.raises(HARD[name]) as caught:
        student(chat_client, timeout=0.3 if name == "hang" else 10)
    if isinstance(caught.value, openai.RateLimitError):
        assert caught.value.response.headers.get("retry-after") == ("0.5" if "after" in name else None)
        assert caught.value.code == ("insufficient_quota" if "quota" in name else "rate_limit_exceeded")
    student(chat_client)
    counts = chat_server.wait(lambda counts: counts.in_flight["student"] == 0)
    assert counts.faults == {name: 1}
    assert counts.received["student"] == 2
    assert counts.abandoned["student"] == (name == "hang")
    assert counts.replied["student"] == (2 if name == "bad-body" else 1)


def test_faults_by_chance_can_be_computed(chat_server: ChatServer, chat_client: OpenAI) -> None:
    faults = {"429": 0.2, "500": 0.2, "truncated": 0.2}
    chat_server.set(judge_faults=faults, fault_seed=7)

    def outcome(seed: int) -> str | None:
        try:
            completion = judge(chat_client, seed=seed)
        except openai.APIStatusError as error:
            return str(error.status_code)
        return "truncated" if completion.choices[0].finish_reason == "length" else None

    with ThreadPoolExecutor(4) as pool:
        seeds = [*range(20), *range(20)]
        seen = sorted((seed, str(fault)) for seed, fault in zip(seeds, pool.map(outcome, seeds), strict=True))
    bodies = {entry.body["seed"]: entry.body for entry in chat_server.log()}
    computed = [(s, str(chosen_fault(faults, 7, bodies[s], attempt))) for s in bodies for attempt in (1, 2)]
    assert seen == sorted(computed)
    assert {fault for _, fault in seen} == {"429", "500", "truncated", "None"}
    student(chat_client)  # is not touched by the judge's faults


def test_faults_for_first_attempts_only(chat_server: ChatServer, chat_client: OpenAI) -> None:
    chat_server.set(judge_faults={"503": 1.0}, fault_attempts=2)
    for seed in (1, 2):
        for _ in range(2):
            with pytest.raises(openai.InternalServerError):
                judge(chat_client, seed=seed)
        judge(chat_client, seed=seed)
    assert [entry.attempt for entry in chat_server.log()] == [1, 2, 3, 1, 2, 3]


def test_faults_that_last(chat_server: ChatServer, chat_client: OpenAI) -> None:
    chat_server.set(judge_faults={"truncated": 0.5}, fault_lasts=True)
    outcomes = [{judge(chat_client, seed=seed).choices[0].finish_reason for _ in range(3)} for seed in range(8)]
    assert {"stop"} in outcomes
    assert {"length"} in outcomes
    assert all(len(outcome) == 1 for outcome in outcomes)


def test_a_steady_judge(chat_server: ChatServer, chat_client: OpenAI) -> None:
    chat_server.set(steady=True, earn=0.5)
    assert all(earned(judge(chat_client, seed=s)) == expected_marks(ANSWER, IDS, None, 0.5) for s in range(4))


def test_scripts(chat_server: ChatServer, chat_client: OpenAI) -> None:
    chat_server.set(
        judge_script=["500", None, {"content": "[]", "finish_reason": "length"}], student_script=["empty"]
    )
    assert text(student(chat_client)) == ""
    with pytest.raises(openai.InternalServerError):
        judge(chat_client)
    assert earned(judge(chat_client)) == expected_marks(ANSWER, IDS, 1)
    scripted = judge(chat_client)
    assert (text(scripted), scripted.choices[0].finish_reason) == ("[]", "length")
    assert earned(judge(chat_client)) == expected_marks(ANSWER, IDS, 1)


def test_everything_fails_and_latency(chat_server: ChatServer, chat_client: OpenAI) -> None:
    chat_server.set(fail_all=500)
    for call in (chat_client.models.list, lambda: student(chat_client), lambda: judge(chat_client)):
        with pytest.raises(openai.InternalServerError):
            call()
    chat_server.set(fail_all=None, judge_latency=0.2)
    started = time.monotonic()
    judge(chat_client)
    assert time.monotonic() - started >= 0.2
