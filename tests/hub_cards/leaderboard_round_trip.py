"""Results' way to the Hub's leaderboards and from there to a Space; run by test_leaderboards.py."""

from __future__ import annotations

import json
import os
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from benchmarks.report_pictures import write_results
from tests.hub_cards.driving import skillmix

BENCHMARK = ("--benchmark", "org/skillmix")


def main() -> None:
    from huggingface_hub import HfApi

    write_results(Path("results"), {"synthetic-large": 0.9, "synthetic-small": 0.6}, items=6)
    large = ("results/synthetic-large", "others/large", "--student", "synthetic-large")
    small = ("results/synthetic-small", "others/small", "--student", "synthetic-small")
    api = HfApi()
    told: dict[str, Any] = {
        "set": skillmix(
            "push", "dataset", "org/skillmix", "--items", "1", "--judge", "synthetic-judge", "--json"
        ).json
    }
    skillmix("push", "dataset", "org/other", "--items", "1", "--json")
    for name in ("others/large", "others/small"):
        api.create_repo(name)
    told["no right"] = skillmix("push", "results", *small, *BENCHMARK).status
    told["request"] = skillmix("push", "results", *small, *BENCHMARK, "--pr", "--public", "--json").json
    told["large"] = skillmix("push", "results", *large, *BENCHMARK, "--pr", "--public").out
    told["other judge"] = skillmix(
        "push", "results", *small, "--benchmark", "org/other", "--pr", "--public", "--json"
    ).json
    told["not a benchmark"] = skillmix("push", "results", *small, "--benchmark", "others/large", "--pr").status
    told["rows"] = [
        {"model": row.model_id, "value": row.value, "request": row.pull_request}
        for row in api.get_dataset_leaderboard("org/skillmix", base_model_only=False)
    ]
    told["space"] = skillmix("push", "space", "org/board", *BENCHMARK, "--results", large[0], "--json").json
    told["alone"] = skillmix("push", "space", "org/alone", *BENCHMARK).status
    told["entries"] = [
        asdict(one)
        for one in api.model_info("others/large", expand=["evalResults"], revision="refs/pr/1").eval_results or ()
    ]
    os.environ.pop("HF_TOKEN")
    told["dry"] = skillmix("push", "results", *small, *BENCHMARK, "--dry-run", "--json").json
    told["dry set"] = skillmix("push", "dataset", "org/skillmix", "--items", "1", "--dry-run", "--json").json
    told["dry space"] = skillmix("push", "space", "org/x", "--dry-run").status
    sys.stdout.write(json.dumps(told) + "\n")


if __name__ == "__main__":
    main()
