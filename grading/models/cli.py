"""`skillmix judges`: which judges are known, what they cost, and how long they are served."""

from __future__ import annotations

import json
from typing import Any

import typer

from grading.options import AsJson

app = typer.Typer()


@app.command()
def judges(
    as_json: AsJson = False,
) -> None:
    """List the known judges: name, model, price in dollars per million tokens, and shutdown date."""
    from grading.models.judge import known_judges, resolve_judge
    from grading.models.shutdown import days_left

    rows: list[dict[str, Any]] = []
    for name in known_judges():
        judge = resolve_judge(name)
        rows.append(
            {
                "name": name,
                "model": judge.model,
                "provider": judge.provider,
                "price": judge.price.model_dump(mode="json") if judge.price else None,
                "shutdown": str(judge.shutdown) if judge.shutdown else None,
                "days_left": days_left(judge.shutdown) if judge.shutdown else None,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table()
    for heading in ("judge", "model", "$ a million in / cached / out", "price of", "shutdown"):
        table.add_column(heading, overflow="fold")
    for row in rows:
        price = row["price"]
        dollars = "unknown"
        if price:
            parts = (price["input"], price["cached_input"], price["output"])
            dollars = " / ".join("-" if part is None else f"{part:.2f}" for part in parts)
        shutdown = f"{row['shutdown']} ({row['days_left']} days left)" if row["shutdown"] else "not announced"
        table.add_row(row["name"], row["model"], dollars, str(price["date"]) if price else "", shutdown)
    Console().print(table)
