"""The commands on the reference implementation's files; each imports what it needs when it runs."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.commands import options

if TYPE_CHECKING:
    from skillmix_tasks.calibration.tree import Fault

app = typer.Typer()
reference_app = typer.Typer(help="Read a checkout of the reference implementation.", no_args_is_help=True)
app.add_typer(reference_app, name="reference", rich_help_panel="Judges")
_Folder = Annotated[Path, typer.Argument(metavar="DIR", help="A checkout of LeoYu/skill-mix or of a fork.")]


def _show(faults: Sequence[Fault], *, one_by_one: bool) -> None:
    from skillmix_tasks.calibration.tree import grouped

    for line in map(str, faults) if one_by_one else grouped(faults):
        typer.echo(line if line.startswith("  ") else f"note: {line}", err=True)


@reference_app.command()
def metrics(folder: _Folder, as_json: options.AsJson = False) -> None:
    """Print the reference's three metrics from its own gradings; faults of its files go to stderr.

    Faults are counted by student and k; --json prints a line for each.
    """
    from grading import UserError
    from grading.commands.tables import print_table
    from skillmix_tasks.calibration.reference_metrics import reference_metrics

    report = reference_metrics(folder)
    _show(report.faults, one_by_one=as_json)
    if not report.metrics:
        raise UserError(f"No graded answer of {folder} can be read: the faults above say why.")
    if as_json:
        typer.echo(json.dumps([asdict(one) for one in report.metrics]))
        return
    rows = []
    for plain, deducted in zip(report.metrics[::2], report.metrics[1::2], strict=True):
        cells = (
            f"{one.full_marks:.2f} / {one.all_skills:.2f} / {one.skill_fraction:.2f}" for one in (plain, deducted)
        )
        rows.append([plain.student, str(plain.k), str(plain.seed), str(plain.n), *cells])
    print_table(["student", "k", "seed", "n", "plain", "names deducted"], rows, right={1, 2, 3})
    typer.echo("Each cell: full marks / all skills / skill fraction.")


@reference_app.command()
def sheet(
    folder: _Folder,
    out: options.OutFile,
    as_json: options.AsJson = False,
) -> None:
    """Write a table in which people decide about the reference's answers, for `skillmix calibrate --labels`."""
    from grading import UserError
    from grading.safety.atomic import atomic_file
    from skillmix_tasks.calibration.reference_answers import read_answers
    from skillmix_tasks.calibration.yardstick import write_sheet

    answers, _ = read_answers(folder)
    if out.exists():
        raise UserError(f"{out} exists and may hold labels: name another file.")
    try:
        with atomic_file(out) as draft, draft.open("w", encoding="utf-8", newline="") as file:
            write_sheet(answers, file)
    except OSError as error:
        raise UserError(f"{out} cannot be written to ({error.strerror}).") from error
    if as_json:
        typer.echo(json.dumps({"file": str(out), "answers": len(answers)}))
        return
    number = "1 answer is" if len(answers) == 1 else f"{len(answers)} answers are"
    typer.echo(f"{number} in {out}: write 0 or 1 under earned, and a name under person.")


@app.command(rich_help_panel="Judges")
def calibrate(
    reference: Annotated[Path, typer.Option(metavar="DIR", help="A checkout of LeoYu/skill-mix or of a fork.")],
    out: options.OutIfAny = None,
    judge: options.Judges = None,
    labels: Annotated[Path | None, typer.Option(help="Verdicts of people, as CSV, in place of GPT-4's.")] = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    max_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    concurrency: options.Concurrency = 32,
    batch: options.Batch = False,
    as_json: options.AsJson = False,
) -> None:
    """Measure a judge, or a panel and each of its judges, against GPT-4's recorded verdicts or against people.

    skillmix calibrate --reference DIR --judge MODEL --out OUT
    """
    from lm_eval.utils import setup_logging

    from grading import JudgeSpec, Panel, UserError
    from grading.commands.closing import same_command, show_closing
    from grading.home import verdict_store
    from grading.panel import panel_name
    from grading.safety.atomic import write_atomic
    from skillmix_tasks.calibration.calibrate import calibrate as measure
    from skillmix_tasks.calibration.record import card
    from skillmix_tasks.calibration.reference_answers import read_answers
    from skillmix_tasks.calibration.yardstick import labelled, recorded
    from skillmix_tasks.harness.logs import show_our_logs
    from skillmix_tasks.harness.settings import given_settings, read_settings
    from skillmix_tasks.stored.facts import cost_of

    setup_logging()
    show_our_logs()
    given = given_settings(
        judge=judge, judge_base_url=judge_base_url, votes=votes, max_usd=max_usd, max_tokens=max_tokens
    )
    settings = read_settings({"skillmix": given})
    judges = settings.judges()
    answers, faults = read_answers(reference)
    _show(faults, one_by_one=as_json)
    yardstick = labelled(answers, labels) if labels else recorded(answers)
    if out is not None:
        try:
            out.mkdir(parents=True, exist_ok=True)  # before anything is paid for
        except OSError as error:
            raise UserError(f"{out} cannot be used as a folder ({error.strerror}).") from error
    budget = settings.budget(1)
    panels: list[Panel] = []

    def panel_of(specs: Sequence[JudgeSpec]) -> Panel:
        # So that the same command gives the same figures again.
        panels.append(
            Panel(specs, verdict_store(), concurrency=concurrency, budget=budget, batch=batch, single_retry=True)
        )
        return panels[-1]

    found = measure(yardstick, judges, panel_of)
    if out is not None:
        try:
            write_atomic(out / "calibration.json", found.model_dump_json(indent=2) + "\n")
            write_atomic(out / "calibration.md", card(found))
        except OSError as error:
            raise UserError(
                f"{out} cannot be written to ({error.strerror}): the votes are kept, name another folder."
            ) from error
    typer.echo(found.model_dump_json() if as_json else card(found), nl=as_json)
    undecided = sum(found.undecided.values())
    decisions = found.by_kind["all"].decisions
    facts = {
        "judge": panel_name(judges),
        "votes": f"{sum(judge.votes for judge in judges)} for each answer",
        "coverage": f"{decisions} of {decisions + undecided} decisions on {found.answers} answers",
        "cost": cost_of(
            (panel.record() for panel in panels), free=all(judge.kind == "transformers" for judge in judges)
        ),
        "results": out or "not saved",
    }
    following: list[object] = ["correct", "RESULTS", "--calibration", out]
    if out is None:
        following = [*same_command("--out", "calibration")]
    elif all(rates.refusal() for rates in found.errors.values()):
        following = []  # the card says why no score can be corrected
    show_closing(facts, following, as_json=as_json)


@app.command(rich_help_panel="Judges")
def correct(
    results: Annotated[list[str], typer.Argument(help="Folders or files that `skillmix eval` wrote.")],
    calibration: Annotated[Path, typer.Option(help="A judge's calibration.json, or its folder.")],
    as_json: options.AsJson = False,
) -> None:
    """Print raw scores beside corrected ones, if the calibration is large enough.

    skillmix correct results --calibration OUT

    The exit status is 1 if no score was corrected.
    """
    from grading.commands.closing import show_closing
    from skillmix_tasks.calibration.corrected import CorrectedScore, OtherJudgeError, correct_results
    from skillmix_tasks.calibration.record import load_calibration
    from skillmix_tasks.stored.facts import run_facts
    from skillmix_tasks.stored.find_results import find_results
    from skillmix_tasks.stored.record import read_records

    known = load_calibration(calibration)
    files = [found.path for found in find_results(results)]
    records = {path: read_records(path)[0] for path in files}
    scores: list[tuple[Path, CorrectedScore]] = []
    others: list[OtherJudgeError] = []
    for path in files:
        try:
            scores += [(path, score) for score in correct_results(path, known)]
        except OtherJudgeError as error:
            others.append(error)
    if others and not scores:
        raise others[0]
    used = dict.fromkeys(path for path, _ in scores)
    for other in others:
        typer.echo(f"Left out: {other}", err=as_json)
    if known.verdict in ("not usable", "not settled"):
        typer.echo(f"Note: {known.sentence}", err=as_json)
    if as_json:
        given = [{"task": one.task, "metric": one.metric} | one.corrected.model_dump() for _, one in scores]
        typer.echo(json.dumps(given))
    else:
        several = {path: run_facts([records[path]]) for path in used} if len(files) > 1 else {}
        for path, score in scores:
            where = f"{several[path]['student']}, {several[path]['pack']}: " if several else ""
            typer.echo(f"{where}{score.task} {score.metric}: {score.corrected.text()}")
        for metric, reason in {score.metric: score.corrected.refused for _, score in scores}.items():
            if reason is not None:
                typer.echo(f"No correction of {metric}: {reason}.")
    corrected = any(score.corrected.refused is None for _, score in scores)
    facts = run_facts([records[path] for path in used], earlier=True)
    following: list[object] = []
    if corrected:  # the report shows the calibration beside the scores
        following = ["report", *used, "--calibration", calibration, "--out", "calibrated-report"]
    show_closing(facts, following, as_json=as_json)
    if not corrected:
        raise typer.Exit(1)
