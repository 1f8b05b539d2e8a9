"""`skillmix store`: look into the verdict store, copy it out, repair it, and delete votes."""

from __future__ import annotations

import json
import sys
from collections import Counter
from contextlib import closing
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer

from grading.commands.options import AsJson, Judge, OutFileIfAny
from grading.commands.words import many
from grading.errors import UserError
from grading.failure import Cause, Failure
from grading.home import StorePlace, named_store, verdict_store
from grading.models.judge import resolve_judge
from grading.models.price import price_by_model, price_table
from grading.safety.atomic import atomic_file
from grading.store.batches import BatchStore
from grading.store.replies import VerdictStore

app = typer.Typer(help="Inspect, export, copy, prune and repair the verdict store.", no_args_is_help=True)

_File = Annotated[
    Path | None,
    typer.Option("--file", help="The store's file, if not SKILLMIX_STORE or verdicts.sqlite under SKILLMIX_HOME."),
]
_MOST_DAYS = 700_000.0  # before which the calendar has dates


@app.command()
def stats(file: _File = None, as_json: AsJson = False) -> None:
    """Print votes, tokens and dollars by judge, the file's size, the first and last vote, and open batches."""
    with _open(file) as store:
        summary = _summary(store)
    if as_json:
        typer.echo(json.dumps(summary))
    else:
        _print(summary)


@app.command()
def failures(file: _File = None, judge: Judge = None, as_json: AsJson = False) -> None:
    """List failed calls without a reply by kind, with the endpoint's messages; --json lists each call.

    --judge limits the list to one judge.
    """
    with _open(file) as store:
        found = list(store.failures(_model(judge)))
    if as_json:
        typer.echo(json.dumps(found))
        return
    kinds = Counter((one["judge"], Failure(Cause(one["cause"]), one["status"], one["words"])) for one in found)
    for (model, failure), count in kinds.most_common():
        typer.echo(f"{many(count, 'call')} to {model} failed ({failure.cause.value}): {failure}")
    if not found:
        typer.echo("No call failed without getting its reply later.")


@app.command()
def export(
    file: _File = None,
    judge: Judge = None,
    out: OutFileIfAny = None,
) -> None:
    """Write all stored replies, or those of --judge, as JSON Lines, with a field for each column."""
    with _open(file) as store:
        lines = (json.dumps(record, ensure_ascii=False) + "\n" for record in store.records(_model(judge)))
        try:
            if out is None:
                sys.stdout.writelines(lines)
            else:
                with atomic_file(out) as draft, draft.open("w", encoding="utf-8") as target:
                    target.writelines(lines)
        except OSError as error:
            raise UserError(f"The votes cannot be written to {out or 'standard output'}: {error}.") from error


@app.command()
def prune(
    file: _File = None,
    judge: Judge = None,
    older_than: Annotated[
        float | None, typer.Option(min=0, help="Only votes older than this number of days.")
    ] = None,
    batches: Annotated[bool, typer.Option("--batches", help="Abandon open batches, and delete no votes.")] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Delete; without --yes only the number is printed.")] = False,
    as_json: AsJson = False,
) -> None:
    """Delete votes by judge, by age, or by both. Deleted votes must be paid for again.

    Open batches at the provider stay; --batches abandons them.
    """
    if batches:
        if judge is not None or older_than is not None:
            raise UserError("--batches gives up all open batches: leave out --judge and --older-than.")
        _prune_batches(file, yes=yes, as_json=as_json)
        return
    if older_than is not None and not older_than < _MOST_DAYS:
        raise UserError(f"--older-than {older_than:g} is not a number of days: type a smaller one, such as 30.")
    if judge is None and older_than is None:
        raise UserError("Say which votes to delete: --judge MODEL, --older-than DAYS, or both.")
    model = _model(judge)
    with _open(file) as store:
        number = store.prune(model, older_than) if yes else store.count(model, older_than)
    if as_json:
        typer.echo(json.dumps({"votes": number, "deleted": yes}))
    else:
        votes = many(number, "vote")
        done = f"Deleted {votes}." if yes else f"Add --yes to delete {votes}."
        typer.echo(done if number else "No vote of this judge and age is in the store: `skillmix store stats`.")


@app.command()
def repair(file: _File = None, as_json: AsJson = False) -> None:
    """Copy all that can be read of a damaged store into a new one in its place, and set the old one aside."""
    from grading.store.repair import repair_store

    path = _place(file)
    if not isinstance(path, Path):
        raise UserError(
            f"The verdict store {path} is not a file, and PostgreSQL repairs its own tables: name a file with "
            "--file, or restore the server's backup."
        )
    found = repair_store(path)
    readable = f"{many(found.votes, 'vote')} and {many(found.batches, 'batch', 'batches')}"
    if as_json:
        typer.echo(json.dumps(asdict(found) | {"old": found.old and str(found.old)}))
    elif found.old is None:
        typer.echo(f"{path} is not damaged: {readable} can be read.")
    else:
        parts = ", and parts of the file could not be read" if found.incomplete else ""
        typer.echo(
            f"{path} is a new store with the {readable} that could be read; left out: "
            f"{many(found.damaged, 'damaged vote')}{parts}. The next run requests them again. The damaged file is "
            f"{found.old}: delete it when you do not need it."
        )


@app.command("copy")
def copy_(
    source: Annotated[
        str | None, typer.Option("--from", help="A store's file or postgresql:// address, if not the one in use.")
    ] = None,
    target: Annotated[
        str | None, typer.Option("--to", help="A store's file or postgresql:// address, if not the one in use.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Copy replies, failed calls and open batches from one store into another, which keeps what it has."""
    from grading.store.copying import copy_store

    if source is None and target is None:
        raise UserError(
            "Name the other store: `skillmix store copy --from FILE` copies into the store in use, which "
            "SKILLMIX_STORE names, and `--to FILE` copies out of it."
        )
    from_, to = (verdict_store() if name is None else named_store(name) for name in (source, target))
    if isinstance(from_, Path):
        from_ = _place(from_)
    found = copy_store(from_, to)
    if as_json:
        typer.echo(json.dumps({"from": str(from_), "to": str(to)} | asdict(found)))
    else:
        typer.echo(
            f"Copied from {from_} to {to}: {many(found.votes, 'vote')}, {many(found.failures, 'failed call')} and "
            f"{many(found.batches, 'open batch', 'open batches')}. Already there: {many(found.known, 'vote')}. "
            f"Damaged and left out: {many(found.damaged, 'vote')}."
        )


def _prune_batches(file: Path | None, *, yes: bool, as_json: bool) -> None:
    with _open(file) as store, closing(BatchStore(store.place)) as found:
        given_up = found.open()
        for batch in given_up if yes else ():
            found.finish(batch)
    votes = sum(len(batch.keys) for batch in given_up)
    if as_json:
        typer.echo(json.dumps({"batches": len(given_up), "votes": votes, "given_up": yes}))
    else:
        what = f"{many(len(given_up), 'batch', 'batches')} of {many(votes, 'vote')}"
        typer.echo(f"Gave up {what}." if yes else f"Add --yes to give up {what}, already paid for.")


def _model(judge: str | None) -> str | None:
    """The model id under which a judge's votes are stored."""
    return None if judge is None else resolve_judge(judge).model


def _place(file: Path | None) -> StorePlace:
    place = file or verdict_store()
    if isinstance(place, Path) and not place.is_file():
        raise UserError(
            f"There is no verdict store {place}: name it with --file, or its folder with SKILLMIX_HOME."
        )
    return place


def _open(file: Path | None) -> closing[VerdictStore]:
    return closing(VerdictStore(_place(file)))


def _summary(store: VerdictStore) -> dict[str, Any]:
    with closing(BatchStore(store.place)) as batches:
        open_batches = batches.open()
    table = price_table()
    judges: list[dict[str, Any]] = []
    for votes in store.summarise():
        price = price_by_model(votes.judge, table)
        judges.append(
            {
                "judge": votes.judge,
                "votes": votes.votes,
                "with_text": votes.graded,
                "prompt_tokens": votes.usage.prompt,
                "cached_tokens": votes.usage.cached,
                "completion_tokens": votes.usage.completion,
                "without_usage": votes.without_usage,
                "dollars": price.dollars(votes.usage) if price else None,
                "first": votes.first,
                "last": votes.last,
            }
        )
    return {
        "file": str(store.place),
        "bytes": store.size(),
        "votes": sum(one["votes"] for one in judges),
        "first": min((one["first"] for one in judges), default=None),
        "last": max((one["last"] for one in judges), default=None),
        "judges": judges,
        "open_batches": [
            {"batch": one.remote or None, "judge": one.judge, "votes": len(one.keys), "planned": one.planned}
            for one in open_batches
        ],
    }


def _print(summary: dict[str, Any]) -> None:
    from grading.commands.tables import print_table

    typer.echo(f"{summary['file']}: {summary['votes']:,} votes, {summary['bytes'] / 1e6:,.1f} MB")
    for one in summary["judges"]:
        dollars = "?" if one["dollars"] is None else f"{one['dollars']:,.2f}"
        typer.echo(f"\n{one['judge']}, {one['first']} to {one['last']}")
        numbers = ("votes", "prompt_tokens", "cached_tokens", "completion_tokens")
        print_table(
            ["votes", "prompt tokens", "cached", "completion tokens", "dollars"],
            [[*(f"{one[name]:,}" for name in numbers), dollars]],
            right={0, 1, 2, 3, 4},
        )
    without = sum(one["without_usage"] for one in summary["judges"])
    if without:
        typer.echo(f"{without:,} votes came without usage: tokens and dollars leave them out.")
    for batch in summary["open_batches"]:
        typer.echo(
            f"Open batch {batch['batch'] or '(not known to be submitted)'}: {batch['votes']:,} votes of "
            f"{batch['judge']}, since {batch['planned']}"
        )
