"""An option means the same on every command that has it, and is there wherever its neighbours have it."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Iterator
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from grading import UserError
from grading.commands.options import numbers
from skillmix import app, mount

ONE_JUDGE = "A judge's name (`skillmix judges`), a model id, or hf:DIRECTORY."
WRITERS = {
    "eval", "grade", "quickstart", "calibrate", "reference sheet", "generate", "train", "compare", "report",
    "pack import", "store export", "steps", "tables",
}  # fmt: skip
WITHOUT_JSON = {"path", "embedded", "fsdp2", "store export"}  # each prints one path, or JSON Lines


def commands() -> Iterator[tuple[str, list[Any]]]:
    mount()

    def walk(command: Any, words: tuple[str, ...]) -> Iterator[tuple[str, list[Any]]]:
        children = getattr(command, "commands", None)
        if children is None:
            yield " ".join(words), [one for one in command.params if one.param_type_name == "option"]
        for name, child in (children or {}).items():
            yield from walk(child, (*words, name))

    return walk(typer.main.get_command(app), ())


def named() -> dict[str, set[str]]:
    return {name: {word for one in options for word in one.opts} for name, options in commands()}


def test_an_option_has_one_help_text_on_all_commands():
    texts: dict[str, dict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for command, options in commands():
        for option in options:
            for name in option.opts:
                texts[name][str(option.help)].add(command)
    judges = texts.pop("--judge")
    assert {text.removesuffix(" Several times for a panel.") for text in judges} == {ONE_JUDGE}
    assert {name: dict(helps) for name, helps in texts.items() if len(helps) > 1} == {}


def test_a_name_has_one_spelling():
    """The first name of an option is the one that is written in docs; its aliases belong to no other option."""
    first: dict[str, set[str]] = defaultdict(set)
    for _, options in commands():
        for option in options:
            for name in option.opts:
                first[name].add(option.opts[0])
    assert {name: names for name, names in first.items() if len(names) > 1} == {}


def test_commands_that_write_take_out_and_the_older_name():
    options = named()
    assert {name for name, words in options.items() if "--out" in words} == WRITERS
    assert all({"--out", "-o", "--output"} <= options[name] for name in WRITERS)


def test_commands_print_json():
    assert {name for name, words in named().items() if "--json" not in words} == WITHOUT_JSON


@pytest.mark.parametrize("command", ["eval", "grade", "compare", "generate", "calibrate", "estimate", "redteam"])
def test_commands_that_judge_take_the_judge_in_the_same_words(command: str):
    options = named()[command]
    assert {"--judge", "--judge-base-url", "--votes"} <= options
    if command != "estimate":
        assert {"--max-usd", "--max-tokens"} <= options


def test_commands_with_a_teacher_or_a_pack_take_them_in_the_same_words():
    options = named()
    for command in ("generate", "estimate"):
        assert {"--teacher", "--teacher-args", "--teacher-base-url", "--k", "--accept", "--plan"} <= options[
            command
        ]
    for command in ("eval", "grade", "compare", "generate", "estimate", "leaks", "push dataset"):
        assert "--pack" in options[command], command
    for command in ("compare", "estimate", "leaks"):
        assert "--tasks" in options[command], command


def test_numbers_of_skills():
    assert numbers(["1,2", "3"]) == [1, 2, 3]
    assert numbers(None) == []
    with pytest.raises(UserError, match="--k 0 is not a list of numbers from 1: type --k 1,2,3"):
        numbers(["0"])
    with pytest.raises(UserError, match="--k two"):
        numbers(["two"])


def test_help_fits_80_columns_without_cutting_a_name():
    mount()
    for command, options in commands():
        done = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, [*command.split(), "--help"])
        assert done.exit_code == 0, command
        assert "…" not in done.output, command
        assert all(option.opts[0] in done.output for option in options), command
        assert max(map(len, done.output.splitlines())) <= 80, command


def test_the_help_of_eval_lists_options_of_lm_eval_one_a_line():
    mount()
    shown = CliRunner(env={"COLUMNS": "80", "TERMINAL_WIDTH": "80"}).invoke(app, ["eval", "--help"]).output
    for name in ("--model", "--model_args", "--tasks", "--apply_chat_template", "--limit", "--batch_size"):
        assert re.search(rf"^ +{name} ", shown, re.MULTILINE), name


def test_a_value_of_the_wrong_kind_is_refused_in_plain_words():
    def said(*arguments: str) -> str:
        return CliRunner().invoke(app, arguments, env={"COLUMNS": "300"}).output

    for command, options in commands():
        for option in options:
            if option.metavar in ("N", "DOLLARS"):
                assert re.search(
                    f"Invalid value for '{option.opts[0]}'.*number", said(*command.split(), option.opts[0], "x")
                )
    assert "Input should" not in said("quickstart", "--items", "x")
    assert "Input should" not in said("quickstart", "--items", "0")
