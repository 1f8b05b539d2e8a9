"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer()


@app.command()
def leaks(
    directory: Annotated[Path, typer.Argument(help="A data set: its Parquet files and rows_k*.jsonl.")],
    task: Annotated[
        list[str] | None,
        typer.Option(
            help="A task or group to check against; several times for more. All tasks of the pack if none."
        ),
    ] = None,
    items: Annotated[int, typer.Option(min=1, help="The first so many items of each task.")] = 300,
    seed: Annotated[int, typer.Option(help="The seed that draws the tasks' items.")] = 0,
    pack: Annotated[str | None, typer.Option(help="The rows' pack, if it is not a bundled one.")] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON instead of text.")] = False,
) -> None:
    """Prove that a data set holds no held-out topic, no held-out skill among several, and no item of a task.

    The exit status is 1 if it does.
    """
    from training.leakage import check_leaks

    found = check_leaks(directory, tasks=task or (), pack=pack, items=items, seed=seed)
    typer.echo(json.dumps(found.record()) if as_json else found.text())
    if found.leaks:
        raise typer.Exit(1)
