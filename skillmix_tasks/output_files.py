"""The files that lm-eval writes to its output path."""

from __future__ import annotations

from pathlib import Path


def samples_of(results: Path, task: str) -> Path | None:
    """The samples that lm-eval wrote beside a results file, which have the same date in their name."""
    date = results.stem.rpartition("_")[2]
    file = results.with_name(f"samples_{task}_{date}.jsonl")
    return file if file.is_file() else None
