"""Whole runs with a real model as student and as judge."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.skillmix_tasks.running import environment, metadata, read_output, run
from tests.skillmix_tasks.test_pack import ABOUT, REFERENCE, SKILLS, TOPICS
from tests.tiny_model import write_tiny_model

pytestmark = pytest.mark.slow


def evaluate(model: Path, folder: Path, *arguments: str, **settings: Any) -> dict[str, Any]:
    """Run `skillmix eval` with `model` on both sides, short answers and a single vote."""
    done = run(
        *("skillmix", "eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"),
        *("--limit", "1", "--batch_size", "3", "--gen_kwargs", "max_gen_toks=24", "--json"),
        *("--log_samples", "--output_path", "out"),
        *arguments,
        *metadata(judge=f"hf:{model}", votes=1, max_missing=1, **settings),
        env=environment(folder / "home"),
        cwd=folder,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    results: dict[str, Any] = json.loads(done.stdout)
    return results


def judged(sample: dict[str, Any]) -> list[dict[str, Any]]:
    return [json.loads(text) for text in sample["filtered_resps"]]


def test_two_turns_with_a_pack_of_ones_own(embedded_model: Path, tmp_path: Path):
    pack = tmp_path / "own"
    pack.mkdir()
    for name, data in (("pack", ABOUT | {"private": True}), ("skills", SKILLS), ("topics", TOPICS)):
        (pack / f"{name}.yaml").write_text(yaml.safe_dump(data))
    results = evaluate(embedded_model, tmp_path, "--tasks", "skillmix_k1", "--apply_chat_template", pack=str(pack))
    record = results["configs"]["skillmix_k1"]["metadata"]["skillmix"]
    assert (record["pack"]["id"], record["turns"]) == ("own", 2)
    assert record["judge"]["endpoint"] == "transformers"
    assert 0 <= results["results"]["skillmix_k1"]["coverage,none"] <= 1
    assert results["n-samples"]["skillmix_k1"]["original"] == 18  # all there are: 6 skills, 3 topics
    # A private pack is named by its hash: no text of it is in the results or in the samples.
    for file in (tmp_path / "out").glob("**/*.json*"):
        content = file.read_text()
        assert record["pack"]["hash"] in content or file.name.startswith("samples")
        for skill in SKILLS:
            assert skill["definition"] not in content
            assert skill["example"] not in content
    [sample] = read_output(tmp_path / "out").samples["skillmix_k1"]
    assert set(sample["doc"]) == {"task", "index", "item", "hash", "k", "split", "pack", "private"}
    done = run(
        "skillmix", "grade", *(tmp_path / "out").glob("**/samples_*"), env=environment(tmp_path), cwd=tmp_path
    )
    assert "private pack" in done.stderr
    assert done.returncode == 1


@pytest.mark.skipif(
    not REFERENCE.is_dir(),
    reason="no reference data: put the reference implementation's files into ../shared/reference",
)
def test_one_turn_with_a_pack_in_the_references_format(tmp_path: Path):
    write_tiny_model(tmp_path / "model")
    results = evaluate(tmp_path / "model", tmp_path, "--tasks", "skillmix_k2", pack=str(REFERENCE))
    record = results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert (record["pack"]["id"], record["turns"]) == ("reference", 1)
    [sample] = read_output(tmp_path / "out").samples["skillmix_k2"]
    assert all(len(replies) == 1 for replies in sample["resps"])
    for generation in judged(sample):
        for vote in generation["votes"]:
            for mark in vote["marks"].values():
                assert mark["evidence"] in generation["answer"]
                assert mark["evidence"] or not mark["earned"]


def quickstart(folder: Path, *arguments: str, context: int = 8192) -> subprocess.CompletedProcess[str]:
    """Run `skillmix quickstart` in `folder` with a model of random weights that reads `context` tokens."""
    model = folder / "home" / "models" / "smollm2-135m-instruct"
    write_tiny_model(model)
    config = model / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"max_position_embeddings": context}))
    return run(
        *("python", "-m", "skillmix", "quickstart", "--output", "out", *arguments),
        # ASCII has no arrows, and typer then does not use Python's buffer.
        env=environment(folder / "home", PYTHONIOENCODING="ascii", PYTHONUNBUFFERED=""),
        cwd=folder,
    )


def test_the_quickstart_ends_in_a_table_whatever_the_model_says(tmp_path: Path):
    done = quickstart(tmp_path, "--seed", "3")
    assert done.returncode == 0, done.stderr
    for row in ("coverage", "full_marks", "skill_fraction"):
        assert f"|{row} " in done.stdout
    output = read_output(tmp_path / "out")
    assert output.results["configs"]["skillmix_k2"]["metadata"]["skillmix"]["seed"] == 3
    assert len(output.samples["skillmix_k2"]) == 2
    lines = done.stdout.splitlines()
    [samples] = (line.split()[1] for line in lines if line.startswith("samples "))
    assert tmp_path / samples == output.sample_files["skillmix_k2"]
    assert shlex.split(lines[-1])[-4:] == ["report", "out", "--out", "out/report"]
    for noise in ("fatal:", "WARNING", "INFO", "Building", "Loading", "bootstrapping"):
        assert noise not in done.stderr + done.stdout


def test_a_quickstart_without_any_verdict_ends_in_a_table_with_a_coverage_of_zero(tmp_path: Path):
    done = quickstart(tmp_path, "--json", context=512)  # no prompt of the judge fits
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["results"]["skillmix_k2"]
    assert scores["coverage,none"] == 0
    assert scores["full_marks,none"] is None
    assert "fatal:" not in done.stderr
    assert "bootstrapping" not in done.stderr


def test_the_quickstart_says_that_it_cannot_write(tmp_path: Path):
    (tmp_path / "out").write_text("")
    done = run("skillmix", "quickstart", "--output", "out", env=environment(tmp_path / "home"), cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("Error: The results cannot be written to out (File exists)")
