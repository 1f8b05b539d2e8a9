from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from grading import Usage, UserError, resolve_judge
from grading.asker import open_backend
from grading.endpoint.check import WARN_DAYS, check_shutdown
from grading.models.judge import default_judge, known_judges


def test_the_judges_in_the_data_file_are_pinned():
    judges = known_judges()
    assert {"gpt-4.1-2025-04-14", "claude-sonnet-4-6", "gemini-3.8-flash", "local-example"} <= set(judges)
    assert default_judge() in judges
    for judge in judges.values():
        assert judge.temperature is None or judge.temperature > 0  # votes are sampled
    assert all(resolve_judge(name).price for name in judges if name != "local-example")


def test_a_run_with_the_default_judge_warns_of_no_shutdown(caplog: pytest.LogCaptureFixture):
    """It fails from the day on which the announced end of the default is near: then another one is needed."""
    default = resolve_judge(default_judge())
    check_shutdown(default.model, default.shutdown)
    assert not caplog.records
    check_shutdown(default.model, datetime.date.today() + datetime.timedelta(WARN_DAYS - 1))
    assert len(caplog.records) == 1


def test_a_judge_is_named_in_four_ways():
    assert resolve_judge("gpt-4o-2024-11-20").price is not None
    assert resolve_judge("some-model", base_url="http://127.0.0.1:9/v1").endpoint == "openai-compatible"
    assert resolve_judge("hf:/models/x").kind == "transformers"
    assert resolve_judge({"model": "m", "temperature": 1.0}, votes=5).votes == 5


@pytest.mark.parametrize(
    ("judge", "overrides", "word"),
    [
        ({"model": "m", "temprature": 1}, {}, "temprature"),
        ({"model": "m", "temperature": 0}, {}, "temperature"),
        ("m", {"votes": 2}, "votes"),
        ("m", {"base_url": "http://user:secret@127.0.0.1/v1"}, "address.*environment"),
        ("m", {"base_url": "https://127.0.0.1/v1?key=secret"}, "address.*environment"),
        ("m", {"base_url": "127.0.0.1:8000/v1"}, "address.*not an http"),
        ({}, {}, "model"),
    ],
)
def test_a_wrong_spec_is_one_sentence(judge, overrides, word: str):
    with pytest.raises(UserError, match=word):
        resolve_judge(judge, **overrides)


def test_the_providers_key_is_needed_and_goes_nowhere_else(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("OPENAI_API_KEY", raising=False)
    with pytest.raises(UserError, match="export OPENAI_API_KEY"):
        open_backend(resolve_judge(default_judge()), 1)
    monkeypatch.setenv("OPENAI_API_KEY", "sk-provider")
    elsewhere = resolve_judge("m", base_url="http://127.0.0.1:9/v1")
    assert elsewhere.api_key() == "none"
    monkeypatch.setenv("SKILLMIX_JUDGE_API_KEY", "sk-other")
    assert elsewhere.api_key() == "sk-other"


def test_an_address_is_in_no_record():
    record = resolve_judge("m", base_url="http://127.0.0.1:9/v1").record()
    assert "127.0.0.1" not in str(record)
    assert record["model"] == "m"
    assert record["prompt_version"]


def test_other_weights_under_the_same_path_are_another_judge(tmp_path: Path):
    (tmp_path / "model.safetensors").write_bytes(b"one")
    before = resolve_judge(f"hf:{tmp_path}").identity()
    (tmp_path / "model.safetensors").write_bytes(b"other")
    assert resolve_judge(f"hf:{tmp_path}").identity() != before


def test_a_price_tells_cached_tokens_apart():
    price = resolve_judge("gpt-4.1-2025-04-14").price
    assert price is not None
    assert price.dollars(Usage(prompt=1_000_000, completion=1_000_000, cached=500_000)) == pytest.approx(9.25)
