"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from grading.options import AsJson

if TYPE_CHECKING:
    from hub_cards.hub.publication import Publication, Remote, Target

app = typer.Typer(
    help="Publish data sets, models, results and a page on the Hugging Face Hub; private unless --public.",
    no_args_is_help=True,
)

_Repo = Annotated[str, typer.Argument(help="The repository, as ORG/NAME.")]
_Public = Annotated[bool, typer.Option("--public", help="Let all see it; else it is private.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the files and the card, and push nothing.")]
_License = Annotated[
    str | None, typer.Option("--license", help="Its license, as the Hub calls it: cc-by-4.0, llama2 ...")
]


@app.command()
def dataset(
    repo: _Repo,
    pack: Annotated[str, typer.Option(help="A bundled pack or a directory.")] = "language",
    items: Annotated[int, typer.Option(min=1, help="The first so many items of each task.")] = 100,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push the benchmark: the items of all tasks of a pack, its skills, its topics, and the pack itself."""
    from hub_cards.benchmark import MARK, benchmark
    from hub_cards.hub.publication import Target

    made = benchmark(pack, repo=repo, number=items)
    _push(Target(repo, "dataset", MARK, public), lambda _: made, dry_run=dry_run, as_json=as_json)


@app.command("training-data")
def training_data(
    folder: Annotated[Path, typer.Argument(help="The folder that `skillmix generate` made.")],
    repo: _Repo,
    license_: _License = None,
    pack: Annotated[str | None, typer.Option(help="The rows' pack, if it is not a bundled one.")] = None,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push the texts with full marks that `skillmix generate` made."""
    from hub_cards.hub.publication import Target
    from hub_cards.training_data import MARK
    from hub_cards.training_data import training_data as plan

    made = plan(folder, repo=repo, license_=license_, pack=pack)
    _push(Target(repo, "dataset", MARK, public), lambda _: made, dry_run=dry_run, as_json=as_json)


@app.command()
def model(
    run: Annotated[Path, typer.Argument(help="The folder that `skillmix train` made, or is making.")],
    repo: _Repo,
    license_: _License = None,
    training_data: Annotated[str | None, typer.Option(help="The data set it was trained on, as ORG/NAME.")] = None,
    base_model: Annotated[
        str | None, typer.Option(help="The base model's ORG/NAME, if the run has a directory.")
    ] = None,
    merged: Annotated[bool, typer.Option("--merged", help="The adapter merged into its base.")] = False,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push a model or adapter; while the training runs, its last whole checkpoint."""
    from hub_cards.evaluations import read_evaluations
    from hub_cards.hub.publication import Target
    from hub_cards.hub.push import read_data_run
    from hub_cards.model import MARK, model_facts
    from hub_cards.model import model as plan

    weights, facts = model_facts(
        run,
        repo=repo,
        license_=license_,
        base_model=base_model,
        training_data=training_data,
        data_run=read_data_run,
        merged=merged,
    )
    after = run / "evaluation" / "after"
    evaluations = read_evaluations([after], within=run) if after.is_dir() else []
    for one in evaluations:
        one.check_samples()
    _push(
        Target(repo, "model", MARK, public),
        lambda remote: plan(weights, facts, evaluations, remote, within=run),
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def results(
    files: Annotated[list[Path], typer.Argument(help="Results files or folders of `skillmix eval`.")],
    repo: Annotated[str, typer.Argument(help="The model's repository, as ORG/NAME.")],
    calibration: Annotated[
        list[Path] | None, typer.Option(help="A judge's calibration.json; several times for more judges.")
    ] = None,
    student: Annotated[
        str | None, typer.Option(help="What the results call this model, if not by its ORG/NAME.")
    ] = None,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push results and samples of a model that was pushed before, into its card's model-index."""
    from hub_cards.evaluations import read_evaluations, refuse_others
    from hub_cards.hub.publication import Target
    from hub_cards.model import MARK
    from hub_cards.model import results as plan

    evaluations = read_evaluations(files, calibration or ())
    refuse_others(evaluations, [repo, *([student] if student else [])])
    for one in evaluations:
        one.check_samples()
    _push(
        Target(repo, "model", MARK, public, must_exist=True),
        lambda remote: plan(evaluations, remote),
        dry_run=dry_run,
        as_json=as_json,
    )


@app.command()
def space(
    repo: _Repo,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Results files or folders of `skillmix eval`; several times for more."),
    ] = None,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push a page with the published results and one's own."""
    from hub_cards.hub.publication import Target
    from hub_cards.space import MARK
    from hub_cards.space import space as plan

    made = plan(results or [], repo=repo)
    _push(Target(repo, "space", MARK, public), lambda _: made, dry_run=dry_run, as_json=as_json)


def _push(target: Target, plan: Callable[[Remote], Publication], *, dry_run: bool, as_json: bool) -> None:
    from dataclasses import asdict

    from hub_cards.hub.files import refuse_keys
    from hub_cards.hub.publication import Remote
    from hub_cards.hub.push import look, push

    if dry_run:
        # A push that only adds has to know what it adds to.
        publication = plan(look(target) if target.must_exist else Remote())
        refuse_keys(publication.all_files)
        typer.echo(json.dumps(publication.record()) if as_json else publication.text())
        return
    pushed = push(target, plan)
    typer.echo(json.dumps(asdict(pushed)) if as_json else pushed.text())
