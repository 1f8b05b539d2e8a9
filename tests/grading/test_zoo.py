"""Every habit of the zoo gives a complete table, or a named state in the endpoint's own words."""

from __future__ import annotations

import itertools
import json
import logging
from pathlib import Path

import pytest
from tenacity import wait_fixed

from grading import Criterion, Grader, GradingRequest, UserError, resolve_judge
from grading.endpoint import check, transport
from grading.failure import Cause
from grading.models.judge import default_judge, known_judges
from grading.store.replies import VerdictStore
from tests.servers.zoo import bodies, limits, lists, refusals, replies
from tests.servers.zoo.habit import (
    ANSWER,
    CRITERIA,
    EARNED,
    MODEL,
    Always,
    Answer,
    Ended,
    Habit,
    Json,
    Whole,
    answer,
    error,
)
from tests.servers.zoo.serving import serving

pytestmark = pytest.mark.slow

HABITS: list[type[Habit]] = [*refusals.HABITS, *bodies.HABITS, *limits.HABITS, *lists.HABITS, *replies.HABITS]


@pytest.fixture(autouse=True)
def short_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transport, "BACKOFF", wait_fixed(0.01))
    monkeypatch.setattr(check, "_PAUSE", 0.01)


def requests(number: int) -> list[GradingRequest]:
    criteria = tuple(Criterion(one, f"The text shows a {one}.") for one in CRITERIA)
    return [GradingRequest(f"Write text {index}.", criteria, ANSWER) for index in range(number)]


def test_the_zoo_is_large_and_each_habit_has_a_source():
    assert len(HABITS) >= 40
    assert all(habit.source.startswith(("https://", "made up")) for habit in HABITS)
    assert len({habit.__name__ for habit in HABITS}) == len(HABITS)


@pytest.mark.parametrize("kind", HABITS, ids=lambda kind: kind.__name__)
def test_a_judge_with_a_habit(kind: type[Habit], tmp_path: Path, caplog: pytest.LogCaptureFixture):
    outcome = kind.outcome
    with serving(kind()) as visited:
        grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / "store.sqlite", concurrency=4)
        try:
            said = ""
            try:
                grader.check()
            except UserError as refused:
                assert isinstance(outcome, Ended)
                said = str(refused)
                assert outcome.words in said
            verdicts = grader.grade(requests(5), progress=False)
            record = grader.record()
            decided = [{name: one.earned for name, one in verdict.decisions.items()} for verdict in verdicts]
            states = {vote.state for verdict in verdicts for vote in verdict.votes}
            if isinstance(outcome, Whole):
                assert decided == [EARNED] * 5, record["failures"] or record["vote_states"]
                assert tuple(record["refused_parameters"]) == outcome.without
                assert not record["failures"]
            elif isinstance(outcome, Ended):
                first = record["failures"][0]
                assert (Cause(first["cause"]), first["count"]) == (outcome.cause, 15)
                assert outcome.words in first["words"]
                assert outcome.words in caplog.text
                assert first["remedy"] in caplog.text
                store = VerdictStore(tmp_path / "store.sqlite")
                assert [outcome.words in one["words"] for one in store.failures()] == [True] * 15
                store.close()
            else:
                assert states == {outcome.state}
        finally:
            grader.close()
    if not visited.answered or isinstance(outcome, Ended):
        assert len(visited.chats) <= kind.wasted
    elif kind.__module__.endswith("refusals"):
        assert visited.refused <= kind.wasted


class NoEffort(Habit):
    """A model that always reasons takes neither the default judge's effort nor its temperature."""

    def chat(self, body: Json, number: int) -> Answer:
        for name in ("reasoning_effort", "temperature"):
            if name in body:
                message = f"Unsupported value: '{name}' does not support {body[name]!r} with this model."
                return answer(400, error(message, param=name, code="unsupported_value"))
        return super().chat(body, number)


def test_the_parameters_of_the_default_judge_are_found_out(tmp_path: Path):
    default = known_judges()[default_judge()].model_dump(include={"temperature", "reasoning_effort"})
    assert default["reasoning_effort"]
    with serving(NoEffort()) as visited:
        judge = resolve_judge({"model": MODEL, **default}, base_url=visited.base_url)
        grader = Grader(judge, tmp_path / "store")
        verdicts = grader.grade(requests(3), progress=False)
        assert grader.record()["refused_parameters"] == ["reasoning_effort", "temperature"]
        grader.close()
    assert [{name: one.earned for name, one in verdict.decisions.items()} for verdict in verdicts] == [EARNED] * 3
    assert visited.refused == 2


class Mixed(Habit):
    """Three of ten replies are bad, each in another way."""

    kinds = itertools.cycle([one for one in bodies.HABITS if bodies.EmptyChoices in one.__mro__])

    def chat(self, body: Json, number: int) -> Answer:
        return next(self.kinds)().chat(body, 1) if number % 10 in (2, 5, 8) else super().chat(body, number)


def test_bad_replies_between_good_ones_change_no_verdict(tmp_path: Path):
    tables = []
    for name, habit in (("none", Habit()), ("mixed", Mixed())):
        with serving(habit) as visited:
            grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / name, concurrency=8)
            verdicts = grader.grade(requests(60), progress=False)
            tables.append([{key: one.earned for key, one in verdict.decisions.items()} for verdict in verdicts])
            assert not grader.record()["failures"]
            grader.close()
    assert tables[0] == tables[1] == [EARNED] * 60


def test_two_causes_are_both_named(tmp_path: Path, caplog: pytest.LogCaptureFixture):
    class Two(Habit):
        def chat(self, body: Json, number: int) -> Answer:
            if "text 1" in str(body["messages"]):
                return answer(400, error("Invalid unicode in the prompt"))
            if "text 3" in str(body["messages"]):
                return answer(413, "Payload Too Large")
            return super().chat(body, number)

    with serving(Two()) as visited:
        grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / "store", concurrency=4)
        grader.grade(requests(5), progress=False)
        grader.close()
    assert '3 votes failed: 400 "Invalid unicode in the prompt"' in caplog.text
    assert '3 votes failed: 413 "Payload Too Large"' in caplog.text


def test_a_key_in_an_error_is_not_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch):
    key = "sk-secret-0123456789-abcdef"
    monkeypatch.setenv("SKILLMIX_JUDGE_API_KEY", f" {key}\n")

    class Echoes(Always):
        reply = answer(401, error(f"Incorrect API key provided: {key}"))

    with serving(Echoes()) as visited:
        grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / "store")
        grader.grade(requests(1), progress=False)
        record = json.dumps(grader.record())
        grader.close()
    content = b"".join(path.read_bytes() for path in tmp_path.iterdir())
    assert "Incorrect API key provided: [key]" in record
    assert key not in record + caplog.text + content.decode(errors="replace")


def test_the_check_says_that_it_waits_for_a_loading_model_and_for_how_long(
    caplog: pytest.LogCaptureFixture, monkeypatch
):
    with serving(limits.LoadingLong()) as visited:
        check.check_endpoint(resolve_judge(MODEL, base_url=visited.base_url), "none")
    assert caplog.messages == [
        'The judge\'s endpoint is loading its model (503 "Loading model"): waiting up to 10 minutes.'
    ]
    monkeypatch.setattr(check, "_LOADING", 0.05)

    class Forever(limits.Loading):
        def chat(self, body: Json, number: int) -> Answer:
            return self.models()

    with (
        serving(Forever()) as visited,
        pytest.raises(UserError, match=r'503 "Loading model".*try again when it is up'),
    ):
        check.check_endpoint(resolve_judge(MODEL, base_url=visited.base_url), "none")


def test_a_long_wait_is_said_once_with_the_endpoints_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch
):
    monkeypatch.setattr("grading.endpoint.throttle._LONGEST_PAUSE", 0.3)

    class Slow(Habit):
        def chat(self, body: Json, number: int) -> Answer:
            if number != 1:
                return super().chat(body, number)
            details = [{"retryDelay": "11s"}]
            return answer(429, [{"error": {"code": 429, "message": "Please slow down.", "details": details}}])

    monkeypatch.setattr(transport, "_wait", lambda state: 0.3)
    with caplog.at_level(logging.WARNING), serving(Slow()) as visited:
        grader = Grader(resolve_judge(MODEL, base_url=visited.base_url), tmp_path / "store")
        grader.grade(requests(3), progress=False)
        grader.close()
    lines = [one.getMessage() for one in caplog.records if "at its limit" in one.getMessage()]
    assert len(lines) == 1
    assert "11 s" in lines[0]
    assert "Please slow down." in lines[0]
