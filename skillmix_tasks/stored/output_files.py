"""The files that lm-eval writes to its output path."""

from __future__ import annotations

from pathlib import Path


def samples_of(results: Path, task: str) -> Path | None:
    """The samples that lm-eval wrote beside a results file, which have the same date in their name."""
    file = results.with_name(f"samples_{task}_{_date(results)}.jsonl")
    return file if file.is_file() else None


def all_samples_of(results: Path) -> list[Path]:
    """The samples of all tasks beside a results file."""
    return sorted(results.parent.glob(f"samples_*_{_date(results)}.jsonl"))


def _date(results: Path) -> str:
    return results.stem.rpartition("_")[2]
