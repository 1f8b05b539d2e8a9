"""The folder of a run: its record, and a lock for one process at a time."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout
from pydantic import TypeAdapter, ValidationError

from grading import UserError
from grading.home import remember_own
from grading.safety.atomic import write_atomic
from grading.safety.bounds import read_bytes

_Record = TypeAdapter(dict[str, Any])
_LOCK = ".lock"
_MARK = "run.json"


@contextmanager
def claimed(
    out: Path,
    record: dict[str, Any],
    command: str = "skillmix generate",
    begun: Callable[[], bool] = lambda: True,
) -> Iterator[None]:
    """Keep `out`, which is made if it is not there, for the run of `command` that `record` describes.

    Another run may replace it as long as it has not `begun` to make results. Raises UserError if another run or
    something else is there, or if another process works there now.
    """
    try:
        out.mkdir(parents=True, exist_ok=True)
        drafts = f".{_MARK}"  # which a process that was killed may have left
        others = [file.name for file in out.iterdir() if file.name != _LOCK and not file.name.startswith(drafts)]
        if others and _MARK not in others:
            raise _foreign(out, command)
        lock = FileLock(out / _LOCK, timeout=0)
        lock.acquire()
    except Timeout as error:
        raise UserError(f"Another process works in {out} now: wait for its end.") from error
    except OSError as error:
        raise _unusable(out, error) from error
    try:
        _mark(out, record, command, begun)
        yield
    finally:
        (out / _LOCK).unlink(missing_ok=True)
        lock.release()


def record_of(out: Path) -> dict[str, Any] | None:
    """The record of the run in `out`; None if there is no readable one, which `claimed` reports."""
    try:
        return _Record.validate_json(read_bytes(out / _MARK))
    except (OSError, ValidationError):
        return None


def _mark(out: Path, record: dict[str, Any], command: str, begun: Callable[[], bool]) -> None:
    """Write the record of the run into `out`; UserError if that is another run already."""
    mark = out / _MARK
    try:
        there = _Record.validate_json(read_bytes(mark)) if mark.exists() else None
        if there is None or (there.keys() == record.keys() and not begun()):
            text = json.dumps(record, indent=1, ensure_ascii=False) + "\n"
            remember_own(text.encode())
            write_atomic(mark, text)
            return
    except ValidationError as error:
        raise UserError(f"{mark} is not a record of a run: name another folder with --out.") from error
    except OSError as error:
        raise _unusable(out, error) from error
    if there.keys() != record.keys():
        raise _foreign(out, command)
    changed = list(_changes(there, json.loads(json.dumps(record))))  # as a file has it, without tuples
    if not changed:
        return
    shown = " and ".join(_typed(changed))
    if all(name.startswith("versions.") for name, _ in changed):
        raise UserError(
            f"{out} holds a run of `{command}` with other {shown}: install these releases again to resume it, or "
            "name another folder with --out."
        )
    raise UserError(
        f"{out} holds a run of `{command}` with another {shown}: name another folder with --out, or give the same "
        "options to resume it."
    )


# The options of a command for the parts of a run's record.
_TYPED = {
    "plan": "plan (--plan, or --k and --accept)",
    "pack": "pack (--pack)",
    "seed": "seed (--seed)",
    "turns": "number of turns (--turns)",
    "least_rate": "lowest rate (--least-rate)",
    "teacher": "teacher (--teacher)",
    "judge": "judge (--judge, --votes)",
    "recipe": "recipe (--recipe, --set)",
    "data": "data set (--data)",
    "tasks": "list of tasks (--tasks)",
    "arguments": "list of arguments for lm_eval",
    "settings": "list of settings (--set)",
    "versions": "releases of packages",
    "world_size": "number of processes",
}


def _typed(changed: list[tuple[str, str]]) -> Iterator[str]:
    """The changes by the option that makes them, with the values that are short."""
    parts: dict[str, list[str]] = {}
    for name, values in changed:
        part, _, field = name.partition(".")
        parts.setdefault(part, []).extend([f"{field} {values}"] if field and values else [])
    for part, details in parts.items():
        yield _TYPED.get(part, part) + (f": {', '.join(details)}" if details else "")


def _changes(there: dict[str, Any], mine: dict[str, Any], within: str = "") -> Iterator[tuple[str, str]]:
    """The places, as recipe.steps, at which two records differ, and both values if they are short."""
    for name in dict.fromkeys((*mine, *there)):
        old, new = there.get(name), mine.get(name)
        if isinstance(old, dict) and isinstance(new, dict):
            yield from _changes(old, new, f"{within}{name}.")
        elif old != new:
            told = isinstance(old, int | float | str) and isinstance(new, int | float | str)
            yield f"{within}{name}", f"{new}, was {old}" if told else ""


def _foreign(out: Path, command: str) -> UserError:
    return UserError(f"{out} is not empty and holds no run of `{command}`: name another folder with --out.")


def _unusable(out: Path, error: OSError) -> UserError:
    return UserError(f"{out} cannot be used ({error}): name another folder with --out.")
