"""Models that `skillmix train` made, on a loopback Hub: pushed, loaded, evaluated by their Hub id."""

from __future__ import annotations

import io
import json
from collections.abc import Iterator
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml
from statsmodels.stats.proportion import proportion_confint

from hub_cards.cards import find_gaps
from hub_cards.hub.key_scan import find_key
from tests.hub_cards.driving import drive
from tests.hub_cards.numbers import unknown_numbers
from tests.servers.chat import ChatServer
from tests.servers.hub.server import TOKEN, HubServer
from tests.skillmix_tasks.running import read_output
from training.data.leakage import check_leaks
from training.data.rows import COLUMNS
from training.intervals import mean_interval

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[dict[str, Any]]:
    """What model_round_trip.py tells, with its folder and the Hub."""
    folder = tmp_path_factory.mktemp("model")
    with HubServer() as hub, ChatServer(earn=0.8, models=["judge-1"]) as chat:
        env = hub.environment(folder, SKILLMIX_JUDGE_MODEL="judge-1", SKILLMIX_JUDGE_BASE_URL=chat.base_url)
        yield drive("model_round_trip", env, folder) | {"folder": folder, "hub": hub}


def card(told: dict[str, Any], kind: str, name: str) -> tuple[dict[str, Any], str]:
    _, front, body = told["hub"].repo(kind, name).files["README.md"].decode().split("---\n", 2)
    return yaml.safe_load(front), body


def test_what_loads_from_the_hub_computes_what_the_local_model_does(told: dict[str, Any]):
    assert told["adapter learned"] > 0
    assert (told["adapter equal"], told["merged equal"], told["unfinished equal"]) == (True, True, True)
    assert told["template equal"]


def test_the_base_is_known_by_its_commit_and_stays_that_when_it_moves_on(told: dict[str, Any]):
    first, moved = told["hub"].repo("model", "org/base").commits[-2:]
    assert told["base"] == {"name": "org/base", "revision": first, "fingerprint": first}
    assert told["gone on"] == [0, moved]


def test_the_repositories_hold_just_what_it_takes_to_load_the_models(told: dict[str, Any]):
    stored = {name: told["hub"].repo("model", f"org/{name}") for name in ("adapter", "merged", "unfinished")}
    common = {".gitattributes", "README.md", "skillmix.json", "tokenizer.json", "tokenizer_config.json"}
    common |= {"chat_template.jinja"}
    adapter = common | {"adapter_config.json", "adapter_model.safetensors", "generation_config.json"}
    evaluated = {
        f"evaluation/skillmix_k{k}/judge-1/{name}" for k in (2, 3) for name in ("results.json", "samples.jsonl")
    }
    assert stored["adapter"].files.keys() == adapter
    assert stored["unfinished"].files.keys() == adapter - {"generation_config.json"}
    assert stored["merged"].files.keys() == common | evaluated | {
        "config.json",
        "generation_config.json",
        "model.safetensors",
    }
    config = stored["adapter"].json("adapter_config.json")
    assert (config["base_model_name_or_path"], config["revision"]) == ("org/base", told["base"]["revision"])
    left_out = told["unfinished dry"]["left_out"]
    assert left_out["training_args.bin"] == "pickled settings, which may hold a token"
    assert left_out["optimizer.pt"] == "optimizer state"


def test_the_same_content_makes_no_commit(told: dict[str, Any]):
    for first, second in (
        ("adapter", "again"),
        ("results", "results again"),
        ("results", "merged again"),
        ("space", "space again"),
    ):
        assert told[first]["changed"]
        assert not told[second]["changed"]
        assert told[second]["commit"] == told[first]["commit"]
    assert len(told["hub"].repo("model", "org/adapter").commits) == 2  # the first one is the Hub's


def test_other_weights_lose_the_evaluation_of_the_earlier_ones(told: dict[str, Any]):
    stored = told["hub"].repo("model", "org/moved")
    assert told["moved with results"]["changed"]
    assert not any(path.startswith("evaluation/") for path in stored.files)
    assert "model-index" not in card(told, "model", "org/moved")[0]


@pytest.mark.parametrize(
    ("mistake", "sentence"),
    [
        ("no license", "license (type --license apache-2.0)"),
        ("no data", "training data (type --training-data ORG/NAME)"),
        ("not ours", "The model org/base is not empty and has no card that `skillmix push model` made"),
        ("merged too early", "is incomplete, and only a complete run is merged: leave --merged out."),
        ("no run", "name a folder that `skillmix train` made."),
        ("no specs", "judge (run.json does not have it)"),
        ("other model", "has the results of org/merged, not of org/adapter"),
        ("no samples", "evaluate with --log_samples"),
        ("not pushed", "There is no model org/none, or your token may not see it: push it first"),
    ],
)
def test_a_mistake_is_one_sentence(told: dict[str, Any], mistake: str, sentence: str):
    status = told["refused"][mistake]
    assert status.startswith("Error: ")
    assert sentence in status
    assert "\n" not in status


def test_the_results_are_in_the_model_index_with_interval_judge_and_coverage(told: dict[str, Any]):
    results = read_output(told["folder"] / "out").results
    [index] = card(told, "model", "org/merged")[0]["model-index"]
    assert index["name"] == "merged"
    assert [one["dataset"]["config"] for one in index["results"]] == ["k2", "k3"]
    for one in index["results"]:
        scores = results["results"][f"skillmix_{one['dataset']['config']}"]
        assert one["dataset"]["split"] == "test"
        assert {metric["type"]: metric["value"] for metric in one["metrics"]} == {
            name: scores[f"{name},none"] for name in ("full_marks", "all_skills", "skill_fraction")
        }
        full = next(metric for metric in one["metrics"] if metric["type"] == "full_marks")
        items = scores["sample_len"]
        low, high = proportion_confint(round(full["value"] * items), items, method="wilson")
        assert full["args"]["interval_95"] == [round(low, 4), round(high, 4)]
        assert (full["args"]["judge"], full["args"]["items"]) == ("judge-1", items)
        assert full["args"]["coverage"] == scores["coverage,none"]


def test_published_results_tell_nothing_of_the_machine(told: dict[str, Any]):
    stored = told["hub"].repo("model", "org/merged")
    results = stored.json("evaluation/skillmix_k2/judge-1/results.json")
    assert results["config"]["model_args"] == {"pretrained": "org/merged", "dtype": "float32"}
    assert list(results["results"]) == ["skillmix_k2"]
    assert not {"pretty_env_info", "git_hash", "model_name_sanitized"} & results.keys()
    samples = stored.files["evaluation/skillmix_k2/judge-1/samples.jsonl"].decode().splitlines()
    assert [json.loads(line)["doc_id"] for line in samples] == [0, 1]
    assert "votes" in json.loads(json.loads(samples[0])["filtered_resps"][0])


def test_the_texts_name_their_teacher_and_not_where_it_lies(told: dict[str, Any]):
    files = told["hub"].repo("dataset", "org/texts").files
    table = pq.read_table(io.BytesIO(files["data/k1-2/train-00000-of-00001.parquet"]))
    assert {json.loads(text)["model"] for text in table["teacher"].to_pylist()} == {"tiny-teacher"}
    assert json.loads(files["run.json"])["teacher"]["model"] == "tiny-teacher"
    assert "tiny-teacher" in files["summary.md"].decode()
    metadata, body = card(told, "dataset", "org/texts")
    assert [config["config_name"] for config in metadata["configs"]] == ["k1", "k2", "k1-2"]
    assert "| held-out topic | 0 |" in body
    assert not [path for path in files if path.startswith("rows_")]


def test_the_space_shows_published_and_own_rows(told: dict[str, Any]):
    stored = told["hub"].repo("space", "org/board")
    page = stored.files["index.html"].decode()
    assert not stored.private
    assert {".gitattributes", "README.md", "index.html", "leaderboard.md"} < stored.files.keys()
    table = stored.files["leaderboard.md"].decode()
    assert "org/merged" in page
    assert "org/merged" in table
    assert "Falcon-180B-Chat" in table


def test_cards_have_no_gap_and_link_what_belongs_together(told: dict[str, Any]):
    for name, relation, library in (
        ("adapter", "adapter", "peft"),
        ("merged", "finetune", "transformers"),
        ("unfinished", "adapter", "peft"),
    ):
        metadata, body = card(told, "model", f"org/{name}")
        assert find_gaps(body) == []
        assert metadata["base_model"] == "org/base"
        assert (metadata["base_model_relation"], metadata["library_name"]) == (relation, library)
        assert metadata["datasets"] == ["org/texts"]
    assert "after step 2 of 3" in card(told, "model", "org/unfinished")[1]


def test_every_number_in_a_card_is_in_the_records(told: dict[str, Any]):
    folder = told["folder"]
    texts = [json.loads((folder / "texts" / name).read_text()) for name in ("run.json", "counts.json")]
    leaks = check_leaks(folder / "texts").record()
    of_texts = [*texts, leaks, len(leaks["tasks"]), COLUMNS, "cc-by-4.0", [12, 8, 20]]  # rows of each config
    text_card = told["hub"].repo("dataset", "org/texts").files["README.md"].decode()
    assert unknown_numbers(text_card, of_texts, "training_data.md.jinja") == set()

    run = [json.loads((folder / "run" / name).read_text()) for name in ("run.json", "result.json")]
    results = read_output(folder / "out").results
    bounds = [
        [f"{bound:.{places}f}" for bound in interval for places in (3, 4)]
        for scores in results["results"].values()
        for metric in ("full_marks", "all_skills", "skill_fraction")
        for interval in [proportion_confint(round(2 * scores[f"{metric},none"]), 2, method="wilson")]
    ]
    for scores in results["results"].values():
        mean, error = scores["skill_fraction,none"], scores["skill_fraction_stderr,none"]
        interval = mean_interval(mean, error, 2)
        bounds.append([f"{bound:.{places}f}" for bound in (interval.low, interval.high) for places in (3, 4)])
    model_card = told["hub"].repo("model", "org/merged").files["README.md"].decode()
    of_model = [*run, *texts, results, bounds, f"{run[1]['peak_memory_bytes'] / 2**30:.1f}"]
    assert unknown_numbers(model_card, of_model, "model.md.jinja") == set()
    # The test can fail: a card with a number from elsewhere is found out.
    assert unknown_numbers(f"{model_card} 0.4711", of_model, "model.md.jinja") == {"0.4711"}


def test_no_byte_that_the_hub_got_holds_a_key_or_a_path(told: dict[str, Any]):
    contents = {"": told["hub"].received()}
    for kind, name in (("model", "adapter"), ("model", "merged"), ("dataset", "texts"), ("space", "board")):
        contents |= told["hub"].repo(kind, f"org/{name}").files
    for path, content in contents.items():
        assert find_key(content, path) is None, path
        text = (
            repr(pq.read_table(io.BytesIO(content)).to_pylist()).encode() if path.endswith("parquet") else content
        )
        for secret in (TOKEN.encode(), b"somebody", str(told["folder"]).encode()):
            assert secret not in text, (path, secret)
    assert {entry["token"] for entry in told["hub"].log()} == {True, None}
