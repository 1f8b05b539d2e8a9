"""The benchmark's way to the Hub and back into a run; run by test_benchmark.py."""

from __future__ import annotations

import json
import sys
from typing import Any

from tests.hub_cards.driving import skillmix


def evaluate(student: str, *settings: tuple[str, object], out: str) -> int | str | None:
    return skillmix(
        *("eval", "--model", "local-chat-completions", "--model_args"),
        f"model=student-1,base_url={student},num_concurrent=4,max_retries=1",
        *(
            "--tasks",
            "skillmix_k4",
            "--apply_chat_template",
            "--limit",
            "2",
            "--log_samples",
            "--output_path",
            out,
        ),
        *("--metadata", json.dumps({"skillmix": dict(settings)})),
    ).status


def main(student: str) -> None:
    from datasets import get_dataset_config_names, load_dataset
    from huggingface_hub import HfApi

    told: dict[str, Any] = {"pushed": skillmix("push", "dataset", "org/skillmix", "--json").json}
    commit = told["pushed"]["commit"]
    names = get_dataset_config_names("org/skillmix")
    told["hashes"], told["rows"] = {}, {}
    for name in names:
        rows = load_dataset("org/skillmix", name, split="test", revision=commit)
        told["rows"][name] = len(rows)
        if "hash" in rows.column_names:
            told["hashes"][name] = rows["hash"][:]
    told["k4"] = load_dataset("org/skillmix", "k4", split="test")[7]
    told["skill"] = load_dataset("org/skillmix", "skills", split="test")[0]

    # The data set goes on, and a run with the first revision does not see it.
    told["changed"] = skillmix("push", "dataset", "org/skillmix", "--items", "1", "--json").json
    source = {"path": "org/skillmix", "revision": commit}
    told["runs"] = {
        "bundled": evaluate(student, out="bundled"),
        "hub": evaluate(student, ("items_from", source), out="hub"),
        "graded": skillmix("grade", *_samples(), "-o", "graded").status,
        "too many": evaluate(student, ("items_from", source), ("items", 101), out="x"),
        "no revision": evaluate(student, ("items_from", source | {"revision": "v9"}), out="x"),
        "none": evaluate(student, ("items_from", source | {"path": "org/none"}), out="x"),
        "a pack, too": evaluate(student, ("items_from", source), ("pack", "language"), out="x"),
        "not pinned": evaluate(student, ("items_from", {"path": "org/skillmix"}), out="x"),
    }
    HfApi().upload_file(
        repo_id="org/skillmix",
        repo_type="dataset",
        path_in_repo="pack/prompts/turn2.jinja",
        path_or_fileobj=b"Look it over, and keep it to {{ limit }}.",
    )
    newest = source | {"revision": "main"}
    told["runs"]["changed pack"] = evaluate(student, ("items_from", newest), ("items", 1), out="x")
    sys.stdout.write(json.dumps(told) + "\n")


def _samples() -> list[str]:
    from pathlib import Path

    return [str(path) for path in Path("hub").glob("**/samples_*.jsonl")]


if __name__ == "__main__":
    main(sys.argv[1])
