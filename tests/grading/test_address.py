"""Where requests go and with which key: a mistake in either is named, and no key goes to an unnamed address."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from grading import Grader, UserError, resolve_judge
from tests.grading.test_zoo import requests
from tests.servers.told import Answer, Came, ToldServer
from tests.servers.zoo.habit import MODEL, good
from tests.skillmix_tasks.asked_student import asked_student
from training.texts.teacher import Teacher, resolve_teacher

KEY = "sk-secret-0123456789-abcdef"


@pytest.mark.parametrize(
    ("address", "advice"),
    [
        ("127.0.0.1:8000/v1", "type http://127.0.0.1:8000/v1"),
        ("localhost:8000/v1", "type http://localhost:8000/v1"),
        ("127.0.0.1:8000", "type http://127.0.0.1:8000/v1"),
        ("api.example.org/v1", "type https://api.example.org/v1"),
        ("//api.example.org/v1", "type https://api.example.org/v1"),
        ("http:/localhost:8000/v1", "type http://localhost:8000/v1"),
        ("htps://api.example.org/v1", "type https://api.example.org/v1"),
        ("ws://192.168.0.3/v1", "type http://192.168.0.3/v1"),
        ("https//api.example.org/v1", "type https://api.example.org/v1"),
        ("'http://judge.example.org/v1'", "type http://judge.example.org/v1"),
        ("http://", "it is not an http or https address"),
        ("http://host:port/v1", "it is not an http or https address"),
    ],
)
def test_an_address_with_a_wrong_beginning(address: str, advice: str):
    for resolve in (resolve_judge, resolve_teacher):
        with pytest.raises(UserError, match=advice):
            resolve(MODEL, base_url=address)


@pytest.mark.parametrize("query", ["key=abc", "api-version=1&sig=abc", "code="])
def test_a_query_that_may_be_a_key(query: str):
    with pytest.raises(UserError, match="SKILLMIX_JUDGE_API_KEY"):
        resolve_judge(MODEL, base_url=f"https://host.example/v1?{query}")


@pytest.mark.parametrize("bad", ["\u200b", "\u00e4", " ", "\n", "\u201c", '"'])
def test_a_key_with_a_character_that_no_key_has(bad: str, monkeypatch: pytest.MonkeyPatch):
    broken = f"{KEY}{bad}{KEY}"
    for variable, spec in {
        "SKILLMIX_JUDGE_API_KEY": resolve_judge(MODEL, base_url="http://127.0.0.1:9/v1"),
        "SKILLMIX_TEACHER_API_KEY": resolve_teacher(MODEL, base_url="http://127.0.0.1:9/v1"),
        "OPENAI_API_KEY": resolve_judge("gpt-5.4-2026-03-05"),
    }.items():
        monkeypatch.setenv(variable, broken)
        with pytest.raises(
            UserError, match=f"The key in {variable} has an invalid character .*U\\+{ord(bad):04X}"
        ) as error:
            spec.api_key()
        assert KEY not in str(error.value)


def test_openais_address_in_the_environment_is_never_ignored(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    for spec in (resolve_judge("gpt-5.4-2026-03-05"), resolve_teacher("gpt-5.4-2026-03-05")):
        with pytest.raises(UserError, match=rf"{spec.variable('BASE_URL')}.* or unset OPENAI_BASE_URL"):
            spec.api_key()
    named = resolve_judge("gpt-5.4-2026-03-05", base_url="https://api.openai.com/v1")
    assert named.api_key() == KEY
    monkeypatch.setenv("OPENAI_BASE_URL", " https://api.openai.com/v1/ ")
    assert resolve_judge("gpt-5.4-2026-03-05").api_key() == KEY


def test_openais_address_in_the_environment_stops_a_student(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("OPENAI_API_KEY", KEY)
    monkeypatch.setenv("OPENAI_BASE_URL", "http://127.0.0.1:9/v1")
    with pytest.raises(UserError, match="name the address that you mean with base_url"):
        asked_student("https://api.openai.com/v1", 1)


def answer(came: Came) -> Answer:
    if came.method == "GET":
        return 404, {}, b"no list"
    return good(json.loads(came.body))


@pytest.mark.slow
def test_a_key_comes_without_white_space_and_a_version_stays_in_the_address(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    for variable in ("SKILLMIX_JUDGE_API_KEY", "SKILLMIX_TEACHER_API_KEY", "OPENAI_API_KEY"):
        monkeypatch.setenv(variable, f"\t {KEY}\r\n")
    with ToldServer(answer) as server:
        deployment = f"{server.base_url.removesuffix('/v1')}/openai/deployments/one"
        grader = Grader(resolve_judge(MODEL, base_url=f"{deployment}?api-version=2024-10-21"), tmp_path / "store")
        grader.check()
        grader.grade(requests(1), progress=False)
        grader.close()
        teacher = Teacher(
            resolve_teacher(MODEL, base_url=f"{deployment}?api-version=2024-10-21"), tmp_path / "store"
        )
        teacher.check()
        teacher.write([({"role": "user", "content": "Write."},)], progress=False)
        teacher.close()
        azure = list(server.came)
        server.came.clear()
        asked_student(server.base_url, 2)
    assert {came.path for came in azure} == {
        f"/openai/deployments/one/{route}?api-version=2024-10-21" for route in ("models", "chat/completions")
    }
    assert {came.headers["api-key"] for came in azure} == {KEY}
    assert {came.headers["Authorization"] for came in [*azure, *server.came]} == {f"Bearer {KEY}"}
