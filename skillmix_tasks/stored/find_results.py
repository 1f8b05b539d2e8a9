"""The files that lm-eval writes to its output path, and those that a user names."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from grading import UserError
from grading.safety.bounds import load_json, read_bytes
from skillmix_tasks.stored.record import RunRecord, read_records

_SAMPLES = re.compile(r"samples_.+_(?P<date>\d{4}-\d\d-\d\dT[^_]+)\.jsonl")
_RESULTS = re.compile(r".+_\d{4}-\d\d-\d\dT[^_]+\.json")


@dataclass(frozen=True)
class Found:
    """A results file, and its student's name if the user gave one."""

    path: Path
    label: str | None


def find_results(arguments: Sequence[str]) -> list[Found]:
    """The results files that `arguments` name: files, or folders with all below, each as PATH or NAME=PATH.

    A samples file means the results beside it. Each file comes once, in the order of the arguments.
    UserError if an argument leads to none.
    """
    found: dict[Path, Found] = {}
    for argument in arguments:
        path, label = _read(argument)
        files = list(_files(path))
        if not files:
            raise UserError(
                f"There are no results under {path}: name the folder that `skillmix eval --out` wrote, or a file "
                "results_*.json in it."
            )
        for file in files:
            found.setdefault(file.resolve(), Found(file, label))
    return list(found.values())


def samples_of(results: Path, task: str) -> Path | None:
    """The samples that lm-eval wrote beside a results file, which have the same date in their name."""
    file = results.with_name(f"samples_{task}_{date_of(results)}.jsonl")
    return file if file.is_file() else None


def all_samples_of(results: Path) -> list[Path]:
    """The samples of all tasks beside a results file."""
    return sorted(results.parent.glob(f"samples_*_{date_of(results)}.jsonl"))


def date_of(results: Path) -> str:
    """The end of a file's name, which the results and the samples of an evaluation share."""
    return results.stem.rpartition("_")[2]


def record_beside(samples: Path, task: str) -> RunRecord | None:
    """The record of `task` in the results beside a samples file; None without results of ours.

    Raises UserError if they are damaged.
    """
    found = next(_beside(samples), None)
    return None if found is None else read_records(found)[1].get(task)


def _read(argument: str) -> tuple[Path, str | None]:
    path = Path(argument)
    label, separator, rest = argument.partition("=")
    if not path.exists() and separator:
        path = Path(rest)
        if not label.strip():
            raise UserError(f"{argument} gives an empty name: write NAME=PATH, or the path alone.")
    else:
        label = ""
    if not path.exists():
        raise UserError(
            f"There is no file or folder {path}: name a folder or file that `skillmix eval --out` wrote."
        )
    return path, label.strip() or None


def _files(path: Path) -> Iterator[Path]:
    if path.is_dir():
        for file in sorted(path.rglob("*.json")):
            if _RESULTS.fullmatch(file.name) and _is_results(file):
                yield file
    elif _SAMPLES.fullmatch(path.name):
        yield from _beside(path)
    else:
        yield path


def _beside(samples: Path) -> Iterator[Path]:
    if match := _SAMPLES.fullmatch(samples.name):
        yield from (file for file in sorted(samples.parent.glob(f"*_{match['date']}.json")) if _is_results(file))


def _is_results(file: Path) -> bool:
    """Whether a file found by its name holds results of ours; other programs' files may be called alike.

    One that was cut short is ours, too: its reader says what is wrong with it.
    """
    try:
        text = read_bytes(file).decode(errors="replace")
    except OSError:
        return False
    try:
        data = load_json(text) if '"skillmix"' in text else None
    except ValueError:
        return text.startswith('{\n  "results"')
    return isinstance(data, dict) and "results" in data and "configs" in data
