from __future__ import annotations

import pytest

from grading import Price, UserError
from grading.models.judge import default_judge
from skillmix_tasks.harness.settings import given_settings, read_settings


@pytest.mark.parametrize(
    ("metadata", "sentence"),
    [
        ({"skillmix": {"k": 2}}, "no setting 'k'.*judge, judge_base_url"),
        ({"skillmix": {"version": "9"}}, "no setting 'version'"),
        ({"skillmix": {"items": 0}}, "'items'.*1 or more is expected, not 0"),
        ({"skillmix": "judge=x"}, "not a JSON object"),
    ],
)
def test_what_is_no_setting_is_refused_in_a_sentence(metadata, sentence):
    with pytest.raises(UserError, match=sentence):
        read_settings(metadata)


def test_an_option_and_a_setting_of_one_name_do_not_differ():
    assert given_settings(["votes=3", "judge=a"], votes=3, judge=["a"]) == {"votes": 3, "judge": "a"}
    with pytest.raises(UserError, match="--max-usd and --set max_usd=2 differ: type one of them"):
        given_settings(["max_usd=2"], max_usd=1.0)


def test_the_judge_comes_from_the_setting_then_the_environment(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("SKILLMIX_JUDGE_MODEL", "env-judge")
    monkeypatch.setenv("SKILLMIX_JUDGE_BASE_URL", "http://127.0.0.1:1/v1")
    [spec] = read_settings({}).judges()
    assert (spec.model, spec.base_url) == ("env-judge", "http://127.0.0.1:1/v1")
    [spec] = read_settings({"skillmix": {"judge": "mine", "judge_base_url": "http://127.0.0.1:2/v1"}}).judges()
    assert (spec.model, spec.base_url) == ("mine", "http://127.0.0.1:2/v1")
    monkeypatch.delenv("SKILLMIX_JUDGE_MODEL")
    monkeypatch.delenv("SKILLMIX_JUDGE_BASE_URL")
    assert read_settings({}).judges()[0].model == default_judge()


@pytest.mark.parametrize(
    ("settings", "sentence"),
    [
        ({"judge": []}, "'judge.* is wrong"),
        ({"judge": ["a", "a"]}, "names a judge twice: give that judge more votes"),
        ({"judge": ["a", "b"], "price": {"input": 1, "output": 2}}, "give each judge of the panel its own"),
        (
            {"judge": ["a", "b"], "max_usd": 1, "judge_base_url": "http://127.0.0.1:1/v1"},
            "needs the price of .* a,",
        ),
    ],
)
def test_what_is_no_panel_is_refused_in_a_sentence(settings, sentence):
    with pytest.raises(UserError, match=sentence):
        read_settings({"skillmix": settings}).judges()


def test_a_panel_may_be_of_names_and_specs():
    settings = {"judge": ["a", {"model": "b", "votes": 1}], "judge_base_url": "http://127.0.0.1:1/v1"}
    first, second = read_settings({"skillmix": settings}).judges()
    assert (first.model, first.votes, second.model, second.votes) == ("a", 3, "b", 1)


def test_model_args_in_the_metadata_are_no_settings():
    assert read_settings({"pretrained": "x", "auth_token": "secret", "seed": 7}).seed == 0


def test_ranks_share_a_cap_in_equal_parts():
    settings = read_settings({"skillmix": {"max_tokens": 1001, "max_usd": 3, "price": {"input": 1, "output": 2}}})
    budget = settings.budget(2)
    assert (budget.max_usd, budget.max_tokens) == (1.5, 500)
    assert read_settings({}).budget(2).caps == ""


def test_a_cap_in_dollars_needs_a_price():
    judge = {"model": "m", "base_url": "http://127.0.0.1:1/v1"}
    with pytest.raises(UserError, match="--max-usd needs the price of the judge m"):
        read_settings({"skillmix": {"judge": judge, "max_usd": 1}}).judges()
    priced = read_settings({"skillmix": {"judge": judge, "max_usd": 1, "price": {"input": 1, "output": 2}}})
    assert priced.judges()[0].price == Price(input=1, output=2)
