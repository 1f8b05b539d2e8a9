from __future__ import annotations

import pytest

from grading import UserError
from skillmix_tasks.settings import read_settings


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"skillmix": {"k": 2}}, "no setting 'k'.*judge, judge_base_url"),
        ({"skillmix": {"version": "9"}}, "no setting 'version'"),
        ({"skillmix": {"items": 0}}, "'items'.*greater than or equal to 1"),
        ({"skillmix": "judge=x"}, "not a JSON object"),
    ],
)
def test_what_is_no_setting_is_refused_in_a_sentence(metadata, sentence):
    with pytest.raises(UserError, match=sentence):
        read_settings(metadata)


def test_the_judge_comes_from_the_setting_then_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKILLMIX_JUDGE_MODEL", "env-judge")
    monkeypatch.setenv("SKILLMIX_JUDGE_BASE_URL", "http://127.0.0.1:1/v1")
    spec = read_settings({}).judge_spec()
    assert (spec.model, spec.base_url) == ("env-judge", "http://127.0.0.1:1/v1")
    spec = read_settings({"skillmix": {"judge": "mine", "judge_base_url": "http://127.0.0.1:2/v1"}}).judge_spec()
    assert (spec.model, spec.base_url) == ("mine", "http://127.0.0.1:2/v1")
    monkeypatch.delenv("SKILLMIX_JUDGE_MODEL")
    monkeypatch.delenv("SKILLMIX_JUDGE_BASE_URL")
    assert read_settings({}).judge_spec().model == "gpt-4.1-2025-04-14"


def test_model_args_in_the_metadata_are_no_settings():
    assert read_settings({"pretrained": "x", "auth_token": "secret", "seed": 7}).seed == 0
