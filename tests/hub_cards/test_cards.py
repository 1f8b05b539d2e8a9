"""Cards without gaps, texts without keys, records without paths."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from grading import UserError
from hub_cards.benchmark import benchmark
from hub_cards.cards import find_gaps, is_ours, need
from hub_cards.evaluations import read_evaluations, unreplaced_files
from hub_cards.hub.key_scan import find_key
from hub_cards.hub.publication import Publication, Remote
from hub_cards.hub.scrub import scrub, scrub_model_args
from hub_cards.model import model, model_facts
from hub_cards.space import space
from hub_cards.training_data import training_data
from skillmix_tasks.items.loading import load_pack
from tests.hub_cards.made import make_calibration, make_run, make_training_data
from tests.hub_cards.numbers import unknown_numbers
from tests.servers.hub.validation import faults

RESULTS: dict[str, Any] = {
    "results": {
        "skillmix_k2": {
            "sample_len": 10,
            "coverage,none": 0.8,
            "full_marks,none": 0.25,
            "full_marks_stderr,none": 0.1,
            "all_skills,none": 0.5,
            "all_skills_stderr,none": 0.1,
            "skill_fraction,none": 0.6,
            "skill_fraction_stderr,none": 0.1,
            "full_marks_low,none": 0.2,
            "full_marks_high,none": 0.4,
        }
    },
    "configs": {
        "skillmix_k2": {
            "generation_kwargs": {"temperature": 0.7},
            "metadata": {
                "version": "1.0",
                "skillmix": {
                    "k": 2,
                    "split": "all",
                    "pack": {"id": "language", "version": "1.0", "hash": "abc"},
                    "turns": 2,
                    "generations": 3,
                    "seed": 0,
                    "drop_common": False,
                    "judge": {
                        "model": "/home/somebody/judges/small",
                        "votes": 3,
                        "base_url": "http://10.0.0.7/v1",
                    },
                    "grading": None,
                    "controls": None,
                    "points_without_verdict": {},
                    "ungrounded": None,
                    "student": {"class": "HFLM", "model": "/home/somebody/models/mine"},
                },
            },
        }
    },
    "config": {
        "model": "hf",
        "model_args": "pretrained=/home/somebody/models/mine,auth_token=abc,base_url=http://10.0.0.7",
        "header": {"Authorization": "Bearer abc"},
    },
    "date": 1.0,
    "git_hash": "0" * 40,
    "pretty_env_info": "a machine",
    "system_instruction": "/no_think",
}


def results_in(folder: Path, results: dict[str, Any]) -> Path:
    date = "2026-01-01T00-00-00.000000"
    (folder / f"results_{date}.json").write_text(json.dumps(results))
    sample = {"filtered_resps": [json.dumps({"judge": "/home/somebody/judges/small", "answer": "a/b"})]}
    (folder / f"samples_skillmix_k2_{date}.jsonl").write_text(json.dumps(sample) + "\n")
    return folder


def test_every_number_of_the_benchmark_card_is_in_the_pack():
    card = benchmark(repo="org/skillmix", number=7).card
    pack = load_pack("language")
    of_split = [
        [len(pack.skills_of(split)), len(pack.topics_of(split))] for split in ("all", "train", "heldout", "public")
    ]
    ours = [sum(one.source == "ours" for one in parts) for parts in (pack.skills, pack.topics)]
    records = [
        7,
        list(range(1, 9)),
        of_split,
        ours,
        pack.about.model_dump(),
        pack.hash,
        "k1 k2",
        "1K 10K 00000 00001",
    ]
    records += [f"{prefix}k{k}" for prefix in ("", "train_", "heldout_", "public_") for k in range(1, 9)]
    assert unknown_numbers(card, records, "dataset.md.jinja") == set()


@pytest.fixture(scope="module")
def made_texts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_training_data(tmp_path_factory.mktemp("made") / "texts")


@pytest.fixture
def texts(made_texts: Path, tmp_path: Path) -> Path:
    """A folder of `skillmix generate` that a test may change."""
    return shutil.copytree(made_texts, tmp_path / "texts")


def publications(texts: Path) -> dict[str, Publication]:
    return {
        "dataset": benchmark(repo="org/skillmix", number=1),
        "planning": benchmark("planning", repo="org/planning", number=1),
        "training-data": training_data(texts, repo="org/texts", license_="cc-by-4.0"),
        "space": space([], repo="org/board"),
    }


@pytest.mark.slow
def test_cards_are_whole_and_valid(texts: Path):
    for mark, publication in publications(texts).items():
        kind = "space" if mark == "space" else "dataset"
        assert find_gaps(publication.card) == []
        assert faults(publication.card, kind) == []
        assert is_ours(publication.card, "dataset" if mark == "planning" else mark)
        assert not is_ours(publication.card, "model")


def test_a_space_without_results_shows_the_published_ones():
    [page] = space([], repo="org/board").files
    assert isinstance(page.source, bytes)
    rows = page.source.decode().split("<tr>")
    [found] = [row for row in rows if row.startswith("<td>GPT-4<") and "<td>5<" in row]
    assert "<td>0.12</td>\n<td>0.12</td>\n<td>0.79</td>" in found
    assert "arXiv 2310.17567" in found


@pytest.mark.parametrize(
    "text",
    [
        "# A\n\n[More Information Needed]\n",
        "# A\n\nTODO: say more.\n",
        "# A\n\n| judge | None |\n",
        "# A\n\n## B\n\n## C\n\nText.\n",
        "# A\n\nText.\n\n## B\n",
        "# A\n\n{{ name }}\n",
    ],
)
def test_a_gap_is_found(text: str):
    assert find_gaps(f"---\nlicense: mit\n---\n\n{text}")


def test_a_missing_fact_is_refused_by_its_name(tmp_path: Path, texts: Path):
    with pytest.raises(UserError, match=r"The card lacks data\.rows \(run\.json does not have it\)"):
        need({"data": {"config": "k1"}}, "data.rows", where="run.json")
    run = json.loads((texts / "run.json").read_text())
    for fact in ("plan", "pack", "seed", "teacher", "judge"):
        (texts / "run.json").write_text(json.dumps({name: value for name, value in run.items() if name != fact}))
        with pytest.raises(UserError, match=f"The card lacks .*{fact}"):
            training_data(texts, repo="org/texts", license_="mit")
    (texts / "run.json").write_text(json.dumps(run))
    whole = (texts / "counts.json").read_text()
    for place, fact in (("teacher", "prompt"), ("judge", "completion"), ("tally", "attempted")):
        for damaged in (dict.pop, lambda part, name: part.update({name: None})):
            counts = json.loads(whole)
            damaged(next(iter(counts["kinds"].values()))[place], fact)
            (texts / "counts.json").write_text(json.dumps(counts))
            with pytest.raises(UserError, match="The card lacks a fact"):
                training_data(texts, repo="org/texts", license_="mit")
    with pytest.raises(UserError, match=r"There is no .*run\.json: name a folder that `skillmix train` made"):
        model_facts(
            tmp_path,
            repo="a/b",
            license_="mit",
            base_model=None,
            training_data="a/c",
            data_run=lambda _: {},
            merged=False,
        )


def test_data_that_gives_a_task_away_is_not_published(texts: Path):
    rows = texts / "rows_k1.jsonl"
    first, *others = rows.read_text().splitlines(keepends=True)
    changed = json.loads(first) | {"topic": {"id": "amateur-radio", "name": "Amateur radio"}}
    rows.write_text(json.dumps(changed) + "\n" + "".join(others))
    with pytest.raises(UserError, match="leaks items of the tasks, and is not published"):
        training_data(texts, repo="org/texts", license_="mit")


def test_results_lose_what_belongs_to_the_machine_and_keep_the_rest(tmp_path: Path):
    [one], _ = read_evaluations([results_in(tmp_path, RESULTS)])
    published = "".join(
        file.source.decode() if isinstance(file.source, bytes) else file.source.read_text() for file in one.files
    )
    for private in ("somebody", "abc,", "10.0.0.7", "Bearer", "a machine", "auth_token"):
        assert private not in published
    record = json.loads(published.partition("\n}\n")[0] + "}")
    assert record["config"]["model_args"] == {"pretrained": "mine"}
    assert record["system_instruction"] == "/no_think"
    assert '\\"answer\\": \\"a/b\\"' in published
    assert [file.path for file in one.files] == [
        "evaluation/skillmix_k2/small/results.json",
        "evaluation/skillmix_k2/small/samples.jsonl",
    ]


def test_a_model_card_shows_results_and_calibration_and_no_path(tmp_path: Path):
    judge = RESULTS["configs"]["skillmix_k2"]["metadata"]["skillmix"]["judge"]
    results = results_in(tmp_path, RESULTS)
    evaluations, _ = read_evaluations([results], [make_calibration(tmp_path, judge)])
    weights, facts = model_facts(
        make_run(tmp_path / "run"),
        repo="org/mine",
        license_="apache-2.0",
        base_model="org/base",
        training_data="org/texts",
        data_run=lambda _: {"teacher": {"model": "/home/somebody/teacher"}, "judge": judge},
        merged=False,
    )
    publication = model(weights, facts, evaluations, Remote())
    assert faults(publication.card, "model") == []
    assert find_gaps(publication.card) == []
    assert "Judge small, calibrated against people on 60 answers (2026-01-02): kappa 0.90" in publication.card
    assert "| `skillmix_k2` | all | language 1.0 | 2 | small |" in publication.card
    assert "| 0.250 (0.071 to 0.591) |" in publication.card  # Wilson's, of 2 among the 8 items with a verdict
    assert "The run recorded no check of its data against the tasks" in publication.card
    paths = {file.path for file in publication.files}
    assert paths >= {"model.safetensors", "config.json", "evaluation/skillmix_k2/small/calibration.json"}
    assert [one.path for one in publication.left_out] == ["training_args.bin"]
    assert "somebody" not in publication.card
    assert not any(isinstance(file.source, bytes) and b"somebody" in file.source for file in publication.files)
    # The same evaluation again, without a calibration, takes the place of all that stood there.
    folder = "evaluation/skillmix_k2/small"
    there = Remote("c", files=("x.safetensors", f"{folder}/calibration.json", f"{folder}-2/results.json"))
    assert unreplaced_files(there, evaluations) == ("x.safetensors", f"{folder}-2/results.json")
    other = make_calibration(tmp_path, judge | {"model": "other"})
    with pytest.raises(UserError, match="which did not judge these results"):
        read_evaluations([results], [other])


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (
            lambda results: results["configs"]["skillmix_k2"]["metadata"]["skillmix"].update(judge=None),
            "not judged",
        ),
        (lambda results: results["results"].clear(), "is not a results file"),
    ],
)
def test_results_that_cannot_be_published_are_refused(tmp_path: Path, change: Any, sentence: str):
    results = json.loads(json.dumps(RESULTS))
    change(results)
    with pytest.raises(UserError, match=sentence):
        read_evaluations([results_in(tmp_path, results)])


def test_two_evaluations_of_a_task_by_a_judge_are_refused(tmp_path: Path):
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        results_in(tmp_path / name, RESULTS)
    sentence = "are both of skillmix_k2, the pack language and the judge small: name the one to publish"
    with pytest.raises(UserError, match=sentence):
        read_evaluations([tmp_path])


def test_results_of_two_packs_have_folders_of_their_own_and_the_card_says_the_pack(tmp_path: Path):
    for pack in ("language", "bakery"):
        results = json.loads(json.dumps(RESULTS))
        results["configs"]["skillmix_k2"]["metadata"]["skillmix"]["pack"]["id"] = pack
        (tmp_path / pack).mkdir()
        results_in(tmp_path / pack, results)
    found, _ = read_evaluations([tmp_path])
    folders = ["evaluation/skillmix_k2/small", "evaluation/skillmix_k2@bakery/small"]
    assert [one.folder for one in found] == folders
    there = Remote("c", files=tuple(f"{folder}/results.json" for folder in folders))
    assert unreplaced_files(there, found[:1]) == (f"{folders[1]}/results.json",)


def test_of_two_students_in_a_folder_one_is_published(tmp_path: Path):
    for name in ("small", "large"):
        results = json.loads(json.dumps(RESULTS))
        results["configs"]["skillmix_k2"]["metadata"]["skillmix"]["student"]["model"] = f"org/{name}"
        (tmp_path / name).mkdir()
        results_in(tmp_path / name, results)
    assert read_evaluations([tmp_path / "small"], students=["org/small"])[1] == []
    [one], others = read_evaluations([tmp_path], students=["org/small"])
    assert others == ["org/large"]
    assert one.run.source.parent.name == "small"
    with pytest.raises(
        UserError, match="has the results of org/large and org/small, not of org/none: if one of them"
    ):
        read_evaluations([tmp_path], students=["org/none"])


@pytest.mark.parametrize(
    ("value", "public"),
    [
        ({"model": "/home/me/m/x", "base_url": "http://a", "api_key": "k"}, {"model": "x"}),
        ({"prompt_tokens": 3, "auth_token": "t"}, {"prompt_tokens": 3}),
        (["C:\\Users\\me\\model", "~/m/y", "org/name", "/no_think"], ["model", "y", "org/name", "/no_think"]),
        ({"text": "see /a/b\nand"}, {"text": "see /a/b\nand"}),
    ],
)
def test_paths_are_cut_to_names(value: Any, public: Any):
    assert scrub(value) == public


def test_of_model_arguments_only_known_ones_are_published():
    given = (
        "model=student-1,base_url=http://10.0.0.7/v1,header={'X': 'y'},tokenizer=/srv/models/t,num_concurrent=4"
    )
    assert scrub_model_args(given) == {"model": "student-1", "tokenizer": "t"}
    assert scrub_model_args({"pretrained": "https://user:pw@host/m", "dtype": "bfloat16"}) == {"dtype": "bfloat16"}
    assert scrub_model_args(None) == {}


@pytest.mark.parametrize(
    "key",
    [
        "hf_" + "aB3" * 12,
        "sk-proj-" + "aB3_" * 8,
        "sk-ant-" + "aB3-" * 8,
        "AKIA" + "ABCD" * 4,
        "ghp_" + "aB3d" * 9,
        "-----BEGIN RSA PRIVATE KEY-----",
        '"Authorization": "Bearer ' + "x9" * 10,
    ],
)
def test_a_key_is_found_wherever_it_stands(key: str, tmp_path: Path):
    text = f"before {key} after"
    assert find_key(text.encode(), "a.txt")
    table = tmp_path / "data.parquet"
    pq.write_table(pa.table({"text": ["fine", text]}), table, compression="zstd")
    assert find_key(table, "data.parquet")


def test_a_key_across_the_border_of_two_chunks_is_found(tmp_path: Path):
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (2**24 - 10) + b" hf_" + b"aB3" * 12)
    assert find_key(large, "large.bin") == "a Hugging Face token"


def test_ordinary_text_holds_no_key():
    text = "He asked for a task-oriented sk-etch of hf_hub, with AKIA and a bearer of news; token: none."
    assert find_key(text.encode(), "a.txt") is None


def test_what_belongs_to_other_pushes_is_not_stale():
    publication = Publication("card", (), others=("evaluation/a/b/results.json",))
    there = Remote("c", files=(".gitattributes", "README.md", "old.bin", "evaluation/a/b/results.json"))
    assert publication.stale(there) == ["old.bin"]
