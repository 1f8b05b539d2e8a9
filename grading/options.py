"""Options that several commands take, each with its one name, type and help text."""

from __future__ import annotations

from typing import Annotated

import typer

AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Judges = Annotated[
    list[str] | None,
    typer.Option("--judge", help="A judge's name, a model id, or hf:DIRECTORY; several times for a panel."),
]
JudgeBaseUrl = Annotated[str | None, typer.Option(help="The judge's OpenAI-compatible endpoint.")]
Votes = Annotated[int | None, typer.Option(help="Votes for each answer and judge; odd.")]
MaxUsd = Annotated[float | None, typer.Option(help="Dollars that the run may spend.")]
MaxTokens = Annotated[int | None, typer.Option(help="Tokens that the run may use.")]
Sets = Annotated[
    list[str] | None, typer.Option("--set", help="Another setting of the tasks, as KEY=JSON or KEY=TEXT.")
]
Concurrency = Annotated[int, typer.Option(min=1, max=10_000, help="Requests in flight to each endpoint.")]
Batch = Annotated[bool, typer.Option("--batch", help="Use the endpoints' Batch API.")]
