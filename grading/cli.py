"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
import os
from typing import Annotated

import typer

from grading.options import AsJson, Concurrency, JudgeBaseUrl, Votes

app = typer.Typer()


@app.command()
def redteam(
    judge: Annotated[str | None, typer.Option(help="A judge's name, a model id, or hf:DIRECTORY.")] = None,
    judge_base_url: JudgeBaseUrl = None,
    votes: Votes = None,
    concurrency: Concurrency = 32,
    as_json: AsJson = False,
) -> None:
    """Attack a judge with 144 answers and print how often each family of attacks succeeds.

    It judges 156 answers, each with all votes; replies are kept in the verdict store.
    """
    from grading.engine import Grader
    from grading.home import verdict_store
    from grading.models.judge import default_judge, resolve_judge
    from grading.redteam import run_redteam

    spec = resolve_judge(
        judge or os.environ.get("SKILLMIX_JUDGE_MODEL") or default_judge(),
        base_url=judge_base_url or os.environ.get("SKILLMIX_JUDGE_BASE_URL") or None,
        votes=votes,
    )
    grader = Grader(spec, verdict_store(), concurrency=concurrency)
    try:
        grader.check()
        report = run_redteam(grader)
    finally:
        grader.close()
    typer.echo(json.dumps(report.record()) if as_json else report.table())
