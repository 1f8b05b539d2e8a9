"""The last lines of a command: what it did, where its files are, and the next command, ready to paste."""

from __future__ import annotations

import shlex
import shutil
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import typer

from grading.commands.words import listed


def show_closing(facts: Mapping[str, object], following: Sequence[object], *, as_json: bool) -> None:
    """Print the block of a command: a line for each fact that is known, then the command to type next.

    With `as_json` it goes to stderr, since stdout holds the one JSON value.
    """
    lines = [f"{name:<9} {value}" for name, value in facts.items() if value not in ("", None)]
    if following:
        lines.append(f"{'next':<9} {shlex.join([*_own_command(), *map(str, following)])}")
    typer.echo("\n".join(lines), err=as_json)


def amount(tokens: float | None, dollars: float | None) -> str:
    """The usage in words: "$1.20 (612,000 tokens)", "612,000 tokens of unknown price"; "" if none."""
    if not tokens and not dollars:
        return ""
    counted = "" if tokens is None else f"{tokens:,.0f} tokens"
    if dollars is None:
        return f"{counted} of unknown price"
    return f"${dollars:,.2f} ({counted})" if counted else f"${dollars:,.2f}"


def names(several: Iterable[str]) -> str:
    """The names, each once, with commas: "and" joins the judges of one panel."""
    return listed(several, last=", ")


def same_command(*more: object) -> list[str]:
    """The arguments of the command at hand, and `more`."""
    return [*sys.argv[1:], *map(str, more)]


def _own_command() -> list[str]:
    """The start of this command, for a command to paste: `skillmix`, its path, or python -m skillmix."""
    started = Path(sys.argv[0])
    if started.suffix == ".py":
        return [sys.executable, "-m", "skillmix"]
    found = shutil.which(started.name)
    same = found is not None and started.exists() and Path(found).samefile(started)
    return [started.name if same else str(started)]
