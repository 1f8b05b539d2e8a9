"""The commands of this package."""

from __future__ import annotations

import datetime
import json
from contextlib import closing
from typing import Any

import typer

from grading.commands.options import AsJson, Concurrency, Judge, JudgeBaseUrl, MaxTokens, MaxUsd, Votes
from grading.cost.budget import Budget
from grading.engine import Grader
from grading.errors import UserError
from grading.failure import limit_hint, sentence
from grading.home import verdict_store
from grading.models.judge import chosen_judges, known_judges, resolve_judge

app = typer.Typer()


@app.command()
def redteam(
    judge: Judge = None,
    judge_base_url: JudgeBaseUrl = None,
    votes: Votes = None,
    max_usd: MaxUsd = None,
    max_tokens: MaxTokens = None,
    concurrency: Concurrency = 32,
    as_json: AsJson = False,
) -> None:
    """Attack a judge with 144 answers and print how often each family of attacks succeeds.

    It judges 156 answers, each with all votes; replies are kept in the verdict store.
    """
    from grading.redteam import Outcome, run_redteam

    [spec] = chosen_judges(judge, base_url=judge_base_url, votes=votes, options=True)
    budget = Budget(max_usd=max_usd, max_tokens=max_tokens)
    with closing(Grader(spec, verdict_store(), concurrency=concurrency, budget=budget)) as grader:
        grader.check()
        report = run_redteam(grader)
    typer.echo(json.dumps(report.record()) if as_json else report.table())
    lost = sum(result.outcome is Outcome.ERROR for result in report.results)
    if 2 * lost > len(report.results):
        states = report.grading["vote_states"]
        causes = [sentence(report.grading["failures"], "vote"), limit_hint(states, spec.max_tokens)]
        raise UserError(
            f"{lost} of {len(report.results)} attacks have no verdict from {spec.model}: "
            f"{'; '.join(filter(None, causes)) or states}. Its votes are kept: run the same command "
            "again when it works."
        )


@app.command()
def judges(as_json: AsJson = False) -> None:
    """List the known judges: name, model, price in dollars per million tokens, and shutdown date."""

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
                "days_left": (judge.shutdown - datetime.date.today()).days if judge.shutdown else None,
            }
        )
    if as_json:
        typer.echo(json.dumps(rows))
    else:
        _print(rows)


def _print(rows: list[dict[str, Any]]) -> None:
    from grading.commands.tables import print_table

    lines = []
    for row in rows:
        price = row["price"]
        dollars = "unknown"
        if price:
            parts = (price["input"], price["cached_input"], price["output"])
            dollars = " / ".join("-" if part is None else f"{part:.2f}" for part in parts)
        shutdown = f"{row['shutdown']} ({row['days_left']} days)" if row["shutdown"] else "not announced"
        lines.append([row["name"], dollars, str(price["date"]) if price else "", shutdown])
        if row["model"] != row["name"]:
            lines.append([f"  {row['model']}", "", "", ""])
    print_table(["judge", "$ in / cached / out", "price of", "shutdown"], lines, prose={3})
    typer.echo("Prices are for a million tokens. A second line is the model's id, where the name is another.")
