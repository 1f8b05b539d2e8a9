"""Every command and option that a message, help text or docstring of ours names exists."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import typer
from lm_eval._cli import HarnessCLI

from skillmix import app, mount

ROOT = Path(__file__).parents[1]
PACKAGES = ("grading", "skillmix_tasks", "training", "hub_cards")
OPTION = re.compile(r"(?<![\w(-])--[a-z][a-z_-]*[a-z]")
COMMAND = re.compile(r"`skillmix ([^`]*)`")
# Of pip, accelerate, hf, createdb and inspect, which our messages name, too.
OTHERS = {
    *("--no-deps", "--config_file", "--num_processes", "--repo-type", "--local-dir"),
    *("--encoding", "--template", "--temperature"),
}


def commands() -> dict[str, set[str]]:
    """The options of each command, by its words as typed: `push model`."""
    mount()
    found: dict[str, set[str]] = {}

    def walk(command: object, words: tuple[str, ...]) -> None:
        options = {name for one in command.params for name in (*one.opts, *one.secondary_opts)}  # type: ignore[attr-defined]
        found[" ".join(words)] = options | {"--help"}
        for name, child in getattr(command, "commands", {}).items():
            walk(child, (*words, name))

    walk(typer.main.get_command(app), ())
    return found


def lm_eval_options() -> set[str]:
    parser = HarnessCLI()._subparsers.choices["run"]
    return {name for action in parser._actions for name in action.option_strings}


def texts() -> Iterator[tuple[str, str]]:
    """Each string of the product with its place; what an f-string fills in is `X`."""
    files = [ROOT / "skillmix.py", *(file for name in PACKAGES for file in (ROOT / name).rglob("*.py"))]
    for file in files:
        tree = ast.parse(file.read_text(encoding="utf-8"))
        inside = {id(part) for node in ast.walk(tree) if isinstance(node, ast.JoinedStr) for part in node.values}
        for node in ast.walk(tree):
            place = f"{file.relative_to(ROOT)}:{getattr(node, 'lineno', 0)}"
            if isinstance(node, ast.JoinedStr):
                yield (
                    place,
                    "".join(str(one.value) if isinstance(one, ast.Constant) else "X" for one in node.values),
                )
            elif isinstance(node, ast.Constant) and isinstance(node.value, str) and id(node) not in inside:
                yield place, node.value
    for file in (ROOT / "README.md", *(ROOT / "docs").glob("*.md")):
        yield str(file.relative_to(ROOT)), file.read_text(encoding="utf-8")


def faults(found: dict[str, set[str]], theirs: set[str]) -> list[str]:
    ours = set().union(*found.values())
    wrong = []
    for place, text in texts():
        for typed in COMMAND.findall(text):
            words = typed.split()
            name = " ".join(words[:2]) if " ".join(words[:2]) in found else words[0] if words else ""
            if words and words[0] not in ("X", "COMMAND") and not words[0].startswith("-") and name not in found:
                wrong.append(f"{place}: there is no command `skillmix {typed}`")
                continue
            takes = found.get(name, ours) | (theirs if name in ("eval", "compare", "") else set())
            wrong += [
                f"{place}: `skillmix {name}` has no {option}"
                for option in OPTION.findall(typed)
                if option not in takes
            ]
        if place.endswith(".md"):
            continue  # the commands of other programs, too
        wrong += [
            f"{place}: no command has {option}"
            for option in OPTION.findall(text)
            if option not in ours | theirs | OTHERS
        ]
    return wrong


def test_messages_name_commands_and_options_that_exist():
    found, theirs = commands(), lm_eval_options()
    assert "--judge-base-url" in found["grade"]
    assert "--model_args" in theirs
    assert faults(found, theirs) == []
