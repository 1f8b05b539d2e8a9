"""Whole runs with a real model as student and as judge."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.skillmix_tasks.running import environment, metadata, read_output, run
from tests.skillmix_tasks.test_pack import ABOUT, REFERENCE, SKILLS, TOPICS

pytestmark = pytest.mark.model


def evaluate(model: Path, folder: Path, *arguments: str, **settings: Any) -> dict[str, Any]:
    """Run `skillmix eval` with `model` on both sides, short answers and a single vote."""
    done = run(
        *("skillmix", "eval", "--model", "hf", "--model_args", f"pretrained={model},dtype=float32"),
        *("--limit", "1", "--batch_size", "3", "--gen_kwargs", "max_gen_toks=24", "--json"),
        *("--log_samples", "--output_path", "out"),
        *arguments,
        *metadata(judge=f"hf:{model}", votes=1, **settings),
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
    results = evaluate(embedded_model, tmp_path, "--tasks", "skillmix_k3", "--apply_chat_template", pack=str(pack))
    record = results["configs"]["skillmix_k3"]["metadata"]["skillmix"]
    assert (record["pack"]["id"], record["turns"]) == ("own", 2)
    assert record["judge"]["endpoint"] == "transformers"
    assert results["results"]["skillmix_k3"]["coverage,none"] == 1
    assert results["n-samples"]["skillmix_k3"]["original"] == 60  # all there are: 20 combinations, 3 topics
    # A private pack is named by its hash: no text of it is in the results or in the samples.
    for file in (tmp_path / "out").glob("**/*.json*"):
        content = file.read_text()
        assert record["pack"]["hash"] in content or file.name.startswith("samples")
        for skill in SKILLS:
            assert skill["definition"] not in content
            assert skill["example"] not in content
    [sample] = read_output(tmp_path / "out").samples["skillmix_k3"]
    assert set(sample["doc"]) == {"task", "index", "item", "hash", "k", "split", "pack", "private"}
    done = run(
        "skillmix", "grade", *(tmp_path / "out").glob("**/samples_*"), env=environment(tmp_path), cwd=tmp_path
    )
    assert "private pack" in done.stderr
    assert done.returncode == 1


@pytest.mark.skipif(not REFERENCE.is_dir(), reason="the reference data is not there")
def test_one_turn_with_a_pack_in_the_references_format(embedded_model: Path, tmp_path: Path):
    results = evaluate(embedded_model, tmp_path, "--tasks", "skillmix_k2", pack=str(REFERENCE))
    record = results["configs"]["skillmix_k2"]["metadata"]["skillmix"]
    assert (record["pack"]["id"], record["turns"]) == ("reference", 1)
    [sample] = read_output(tmp_path / "out").samples["skillmix_k2"]
    assert all(len(replies) == 1 for replies in sample["resps"])
    for generation in judged(sample):
        for vote in generation["votes"]:
            for mark in vote["marks"].values():
                assert mark["evidence"] in generation["answer"]
                assert mark["evidence"] or not mark["earned"]
