"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
import shlex
import sys
from contextlib import redirect_stdout
from pathlib import Path
from typing import Annotated, Literal

import typer

from grading.commands import options
from skillmix_tasks.calibration.cli import app as reference_app

app = typer.Typer()
app.add_typer(reference_app)
pack_app = typer.Typer(help="Make, check, import and list packs of skills and topics.", no_args_is_help=True)
app.add_typer(pack_app, name="pack", rich_help_panel="Evaluate")


@app.command("eval", context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def evaluate(
    context: typer.Context,
    out: options.OutIfAny = None,
    judge: options.Judges = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    max_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    pack: options.PackIfAny = None,
    settings: options.Sets = None,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate a model on SKILL-MIX tasks; takes lm_eval's own arguments.

    skillmix eval --model hf --model_args pretrained=MODEL --tasks skillmix_k4 --apply_chat_template --out results

    \b
    Options of lm_eval used most (`lm_eval run --help` lists all):
      --model KIND             hf, vllm, local-chat-completions, ...
      --model_args KEY=VALUE   pretrained=MODEL, or model=NAME,base_url=URL
      --tasks TASK,TASK        tasks and groups (`skillmix tasks` lists ours)
      --apply_chat_template    two turns, as the paper has them
      --limit N                items of each task, from the first
      --batch_size N           answers at once; auto for hf
      --device DEVICE          cuda, cpu, ...
    --out DIR is lm_eval's --output_path DIR --log_samples.
    """
    from skillmix_tasks.commands.evaluate import run_lm_eval
    from skillmix_tasks.harness.settings import given_settings

    overrides = given_settings(
        settings,
        judge=judge,
        judge_base_url=judge_base_url,
        votes=votes,
        max_usd=max_usd,
        max_tokens=max_tokens,
        pack=pack,
    )
    kept = [] if out is None else ["--output_path", str(out), "--log_samples"]
    run_lm_eval([*context.args, *kept], overrides, as_json=as_json)


@app.command()
def grade(
    files: Annotated[
        list[Path], typer.Argument(help="Stored answers, samples_*.jsonl of lm_eval, or folders with some.")
    ],
    out: options.OutIfAny = None,
    judge: options.Judges = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    max_missing: Annotated[float | None, typer.Option(help="Share of items that may lack a verdict.")] = None,
    max_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    pack: options.PackIfAny = None,
    settings: options.Sets = None,
    include_path: Annotated[Path | None, typer.Option(help="Folder of YAML files of tasks of your own.")] = None,
    trust_file: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Judge stored answers: finish a stopped run, or grade logged samples with another judge.

    skillmix grade results --judge MODEL --out graded

    Several students or runs are graded one after another, and each gets its own results; --json then prints a
    list.
    """
    from lm_eval.utils import make_table, setup_logging

    from grading.commands.closing import same_command, show_closing
    from skillmix_tasks.commands.evaluate import strict_json
    from skillmix_tasks.commands.regrade import regrade_all
    from skillmix_tasks.harness.logs import show_our_logs
    from skillmix_tasks.harness.settings import given_settings
    from skillmix_tasks.scoring.controls import take_failures
    from skillmix_tasks.stored.facts import run_facts

    setup_logging()
    show_our_logs()
    overrides = given_settings(
        settings,
        judge=judge,
        judge_base_url=judge_base_url,
        votes=votes,
        max_missing=max_missing,
        max_usd=max_usd,
        max_tokens=max_tokens,
        pack=pack,
    )
    again = same_command("--out", "results")
    with redirect_stdout(sys.stderr):  # lm-eval prints its progress there
        graded = regrade_all(files, overrides, include_path=include_path, output=out, trust=trust_file)
    if as_json:
        typer.echo(strict_json(graded[0] if len(graded) == 1 else graded))
    else:
        for line in take_failures():
            typer.echo(line)
    for results in graded:
        facts = run_facts([results])
        if not as_json:
            typer.echo(make_table(results))
        if results is graded[-1]:
            following = again if out is None else ["report", out, "--out", out / "report"]
            show_closing(facts | {"results": out or "not saved"}, following, as_json=as_json)
        else:
            show_closing(facts, [], as_json=as_json)
            typer.echo(err=as_json)


@app.command()
def tasks(as_json: options.AsJson = False) -> None:
    """List the tasks and groups."""
    from skillmix_tasks.commands.evaluate import own_names

    names = own_names()
    typer.echo(json.dumps(names) if as_json else "\n".join(names))


@app.command()
def path() -> None:
    """Print the folder of the task files, which tasks of your own may include."""
    from skillmix_tasks.harness.task_files import harness_folder

    typer.echo(harness_folder())


@app.command()
def quickstart(
    out: options.Out = Path("quickstart-results"),
    items: options.Items = 2,
    seed: options.Seed = 0,
    as_json: options.AsJson = False,
) -> None:
    """Run skillmix_k2 with a small bundled model as student and judge; takes about a minute."""
    from skillmix_tasks.commands.quickstart import quickstart as run

    run(out, items, seed, as_json=as_json)


@app.command()
def embedded() -> None:
    """Print the directory of `quickstart`'s small model; if it is missing, make it first (half a minute)."""
    from skillmix_tasks.commands.embedded import convert_embedded_model, embedded_folder

    typer.echo(convert_embedded_model(embedded_folder()))


_Pack = Annotated[str, typer.Argument(help="A bundled pack's name, or a directory.")]


@pack_app.command("new")
def make_pack(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The new folder of the pack.")],
    as_json: options.AsJson = False,
) -> None:
    """Write a small complete pack into a new folder, as a start for your own.

    skillmix pack new my-pack
    """
    from skillmix_tasks.items.loading import new_pack

    name = new_pack(folder)
    if as_json:
        typer.echo(json.dumps({"pack": str(folder), "id": name}))
        return
    typer.echo(f"{folder} holds the pack {name} of 14 skills and 24 topics: change its texts, then run\n")
    typer.echo(f"    skillmix pack check {shlex.quote(str(folder))}")


@pack_app.command("check")
def check_pack(pack: _Pack, as_json: options.AsJson = False) -> None:
    """Validate a pack, count its parts, and list points that its author should review."""
    from skillmix_tasks.items.licenses import known_license
    from skillmix_tasks.items.loading import load_pack
    from skillmix_tasks.pack_check import cells_for_training, counts, findings, items_by_task

    loaded = load_pack(pack)
    if not loaded.about.private:  # a private pack is never pushed
        known_license(loaded.about.license, "license: ")
    found, items, cells = findings(loaded), items_by_task(loaded), cells_for_training(loaded)
    if as_json:
        record = {"pack": pack, "hash": loaded.hash, "counts": counts(loaded), "findings": found}
        typer.echo(json.dumps(record | {"items": items, "cells_for_training": cells}))
        return
    numbers = ", ".join(f"{number} {what}" for what, number in counts(loaded).items())
    typer.echo(f"{loaded.about.title} {loaded.about.version} (hash {loaded.hash}) is valid: {numbers}.")
    if loaded.lists == "paper-b":
        typer.echo("It has as many skills and topics as the paper (arXiv 2409.19808), by split.")
    typer.echo("Items that a task can have (a run has 100 unless --limit or the setting `items` says otherwise):")
    for task, number in items.items():
        typer.echo(f"  {task:<28} {number:>15,}")
    typer.echo("Texts that `skillmix generate` can make, without the first 300 items of each task:")
    for k, number in cells.items():
        typer.echo(f"  k = {k:<24} {number:>15,}")
    if 0 in cells.values():
        typer.echo("  More topics are the cheapest way to more texts.")
    for finding in found:
        typer.echo(f"  look at: {finding}")


@pack_app.command("import")
def import_pack(
    lists: Annotated[  # noqa: ARG001  (one choice, which the command names for its reader)
        Literal["paper-b"], typer.Argument(help="Whose lists: paper-b is arXiv 2409.19808.")
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(help="SKILLS.csv and TOPICS.csv, or the page (.html) or source (.tex) of the paper."),
    ],
    out: options.Out,
    as_json: options.AsJson = False,
) -> None:
    """Make a private pack of the papers' own skills and topics, from tables that you downloaded.

    skillmix pack import paper-b SKILLS.csv TOPICS.csv --out DIR
    """
    from skillmix_tasks.items.paper_pack import import_paper_pack

    import_paper_pack(sources, out)
    check_pack(str(out), as_json=as_json)


@pack_app.command("show")
def show_pack(pack: _Pack = "language", as_json: options.AsJson = False) -> None:
    """List a pack's skills and topics."""
    from rich.console import Console
    from rich.table import Table

    from skillmix_tasks.items.loading import load_pack

    loaded = load_pack(pack)
    if as_json:
        typer.echo(loaded.model_dump_json())
        return
    skills = Table("skill", "category", "common", "definition", title=loaded.about.title, show_lines=True)
    for skill in loaded.skills:
        skills.add_row(skill.name, skill.category, "yes" if skill.common else "", skill.definition)
    topics = Table("topic", "split")
    for topic in loaded.topics:
        topics.add_row(topic.name, topic.split)
    console = Console(markup=False)
    console.print(skills)
    console.print(topics)
