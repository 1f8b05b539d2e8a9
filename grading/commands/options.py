"""Options that several commands take, each with its one name, help text and meaning."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from grading.errors import UserError

_OUT = ("--out", "-o", "--output")  # the last is the name of earlier releases
_OUT_HELP = "The output file or folder."

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Out = Annotated[Path, typer.Option(*_OUT, metavar="DIR", help=_OUT_HELP)]
OutIfAny = Annotated[Path | None, typer.Option(*_OUT, metavar="DIR", help=_OUT_HELP)]
OutFile = Annotated[Path, typer.Option(*_OUT, metavar="FILE", help=_OUT_HELP)]
OutFileIfAny = Annotated[Path | None, typer.Option(*_OUT, metavar="FILE", help=_OUT_HELP)]

_JUDGE_HELP = "A judge's name (`skillmix judges`), a model id, or hf:DIRECTORY."
Judge = Annotated[str | None, typer.Option("--judge", metavar="JUDGE", help=_JUDGE_HELP)]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", metavar="JUDGE", help=f"{_JUDGE_HELP} Several times for a panel."),
]
JudgeBaseUrl = Annotated[
    str | None, typer.Option(metavar="URL", help="The judge's OpenAI-compatible endpoint, such as http://HOST/v1.")
]
Votes = Annotated[
    int | None, typer.Option(min=1, metavar="N", help="Votes of each judge on an answer; an odd number.")
]
MaxUsd = Annotated[
    float | None, typer.Option(min=0, metavar="DOLLARS", help="Dollars that this command may spend.")
]
MaxTokens = Annotated[int | None, typer.Option(min=0, metavar="N", help="Tokens that this command may use.")]
Sets = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting; the value is JSON or text. Repeatable."),
]
Concurrency = Annotated[
    int, typer.Option(min=1, max=10_000, metavar="N", help="Requests in flight to each endpoint.")
]
Batch = Annotated[bool, typer.Option("--batch", help="Use the endpoints' Batch API.")]

_PACK_HELP = "A bundled pack's name, or a directory."
Pack = Annotated[str, typer.Option("--pack", metavar="PACK", help=_PACK_HELP)]
PackIfAny = Annotated[str | None, typer.Option("--pack", metavar="PACK", help=_PACK_HELP)]
Ks = Annotated[list[str] | None, typer.Option("--k", metavar="K,K", help="Numbers of skills, such as 1,2,3.")]
Tasks = Annotated[
    list[str] | None,
    typer.Option("--tasks", "--task", metavar="TASK,TASK", help="Tasks and groups (`skillmix tasks`)."),
]
Calibrations = Annotated[
    list[Path] | None, typer.Option("--calibration", help="A judge's calibration.json, or its folder.")
]
Items = Annotated[
    int,
    typer.Option("--items", "--limit", min=1, metavar="N", help="Number of items of each task, from the first."),
]
Seed = Annotated[int, typer.Option(metavar="N", help="The random seed.")]
Trust = Annotated[
    bool,
    typer.Option("--trust-file", help="Use the models, packs and data sets that another person's file names."),
]


def numbers(ks: list[str] | None) -> list[int]:
    """The numbers of skills in --k; UserError if one is not a number from 1."""
    try:
        found = [int(k) for k in listed(ks)]
    except ValueError:
        found = [0]
    if any(k < 1 for k in found):
        raise UserError(f"--k {','.join(ks or ())} is not a list of numbers from 1: type --k 1,2,3.")
    return found


def listed(entries: list[str] | None) -> list[str]:
    """The names in an option that takes several, each time one or more with commas."""
    return [name for entry in entries or () for name in entry.split(",") if name]
