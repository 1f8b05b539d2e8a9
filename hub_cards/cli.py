"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from grading.commands.options import AsJson, Calibrations, Items, Judge, Pack, PackIfAny

if TYPE_CHECKING:
    from hub_cards.evaluations import Evaluation
    from hub_cards.hub.publication import Publication, Remote, Target
    from hub_cards.report.study.board import Row

app = typer.Typer(
    help="Publish data sets, models, results and a page on the Hugging Face Hub; private unless --public.",
    no_args_is_help=True,
)

_Repo = Annotated[str, typer.Argument(help="The repository, as ORG/NAME.")]
_Public = Annotated[bool, typer.Option("--public", help="Make the repository public; the default is private.")]
_DryRun = Annotated[bool, typer.Option("--dry-run", help="Show what would be pushed, and push nothing.")]
_License = Annotated[
    str | None, typer.Option("--license", help="The license by its name on the Hub: cc-by-4.0, llama2 ...")
]
_Benchmark = Annotated[
    str | None, typer.Option(help="The benchmark's data set, as ORG/NAME, for the Hub's leaderboards.")
]


@app.command()
def dataset(
    repo: _Repo,
    pack: Pack = "language",
    items: Items = 100,
    judge: Judge = None,
    leaderboard: Annotated[
        bool, typer.Option(help="Write eval.yaml and judge.json for the Hub's leaderboards.")
    ] = True,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push the benchmark: the items of all tasks of a pack, its skills, its topics, and the pack itself.

    The Hub's leaderboards rank the results of --judge, or of the default judge.
    """
    from hub_cards.benchmark import MARK, benchmark
    from hub_cards.hub.publication import Target

    made = benchmark(pack, repo=repo, number=items, judge=judge, leaderboard=leaderboard)
    _push(Target(repo, "dataset", MARK, public), lambda _: made, dry_run=dry_run, as_json=as_json)


@app.command("training-data")
def training_data(
    folder: Annotated[Path, typer.Argument(help="The folder that `skillmix generate` made.")],
    repo: _Repo,
    license_: _License = None,
    pack: PackIfAny = None,
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
    merged: Annotated[bool, typer.Option("--merged", help="Push the adapter merged into its base.")] = False,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push a model or adapter; during training, push the last complete checkpoint."""
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
        data_run=_unread_data_run if dry_run else read_data_run,
        merged=merged,
    )
    after = run / "evaluation" / "after"
    there = any(after.rglob("results_*.json"))
    if after.is_dir() and not there:
        typer.echo(
            f"{after} holds no results yet: `skillmix push results` adds them to the model later.", err=True
        )
    evaluations = read_evaluations([after], within=run)[0] if there else []
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
    files: Annotated[
        list[Path],
        typer.Argument(
            default_factory=list, show_default=False, help="Results files or folders of `skillmix eval`."
        ),
    ],
    repo: Annotated[str, typer.Argument(help="The model's repository, as ORG/NAME.")],
    calibration: Calibrations = None,
    student: Annotated[
        str | None, typer.Option(help="The model's name in the results, if it is not ORG/NAME.")
    ] = None,
    benchmark: _Benchmark = None,
    pull_request: Annotated[
        bool, typer.Option("--pr", help="Open a pull request, on any model; its card does not change.")
    ] = False,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push a model's results and samples, and add them to its card; --benchmark adds the Hub's leaderboards."""
    from dataclasses import replace

    from grading import UserError
    from hub_cards.evaluations import read_evaluations
    from hub_cards.hub.publication import Target
    from hub_cards.hub.push import read_benchmark
    from hub_cards.leaderboards import RESULTS, read_pinned
    from hub_cards.model import MARK
    from hub_cards.model import results as plan

    if not files:
        raise UserError(f"One of the two names is missing: type skillmix push results {repo} ORG/NAME.")
    names = [repo, *([student] if student else [])]
    evaluations, others = read_evaluations(files, calibration or (), students=names)
    for one in evaluations:
        one.check_samples()
    named = benchmark or _items_from(evaluations)
    pinned = None if named is None or dry_run else read_pinned(read_benchmark(named), named)
    ranked = None if named is None or pinned is None else (named, pinned)
    notes = [
        f"These are the results of {evaluations[0].run.student.name}; those of {other} are in the same files or "
        "folders, and are not pushed."
        for other in others
    ]

    def publication(remote: Remote) -> Publication:
        made = plan(evaluations, remote, repo=repo, benchmark=ranked, pull_request=pull_request)
        return replace(made, notes=(*notes, *made.notes))

    _push(
        Target(repo, "model", MARK, public, must_exist=True, pull_request=pull_request),
        publication,
        dry_run=dry_run,
        as_json=as_json,
        unseen="" if named is None else f" Nor is {RESULTS}: {named} says on the Hub which results it ranks.",
    )


@app.command()
def space(
    repo: _Repo,
    results: Annotated[
        list[Path] | None,
        typer.Option(help="Results files or folders of `skillmix eval`; NAME=PATH names the student. Repeatable."),
    ] = None,
    calibration: Calibrations = None,
    benchmark: _Benchmark = None,
    public: _Public = False,
    dry_run: _DryRun = False,
    as_json: AsJson = False,
) -> None:
    """Push a page with the published results and your own; with --benchmark also the leaderboards' rows."""
    from hub_cards.hub.publication import Target
    from hub_cards.space import MARK
    from hub_cards.space import space as plan

    rows: list[Row] = []
    if benchmark is not None:
        from hub_cards.hub.push import read_benchmark, read_leaderboard
        from hub_cards.leaderboards import leaderboard_rows, read_pinned

        pinned = read_pinned(read_benchmark(benchmark), benchmark)
        rows = leaderboard_rows(read_leaderboard(benchmark), benchmark, pinned)
    made = plan(results or [], repo=repo, others=rows, calibrations=calibration or ())
    _push(Target(repo, "space", MARK, public), lambda _: made, dry_run=dry_run, as_json=as_json)


def _unread_data_run(_: str) -> dict[str, Any]:
    """The sentence of a dry run's card about the training data, which is on the Hub."""
    unread = {"model": "unknown in a dry run"}
    return {"teacher": unread, "judge": unread}


def _items_from(evaluations: Sequence[Evaluation]) -> str | None:
    """The data set on the Hub that all items come from, if there is one."""
    sources = {(one.run.record.items_from or {}).get("path") for one in evaluations}
    return sources.pop() if len(sources) == 1 else None


def _push(
    target: Target, plan: Callable[[Remote], Publication], *, dry_run: bool, as_json: bool, unseen: str = ""
) -> None:
    from dataclasses import asdict

    from hub_cards.hub.files import refuse_keys
    from hub_cards.hub.publication import Remote
    from hub_cards.hub.push import push

    if dry_run:
        publication = plan(Remote())
        refuse_keys(publication.all_files)
        note = f"Nothing was looked at on the Hub: what {target.repo} holds already is not in this list.{unseen}"
        if as_json:
            record = publication.record()
            typer.echo(json.dumps(record | {"notes": [*record["notes"], note]}))
        else:
            typer.echo(f"{publication.text()}\n\n{note}")
        return
    pushed = push(target, plan)
    typer.echo(json.dumps(asdict(pushed)) if as_json else "\n".join([pushed.text(), *pushed.notes]))
