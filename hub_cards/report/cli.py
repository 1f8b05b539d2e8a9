"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from grading.commands.options import AsJson, Calibrations, Ks, Out, numbers

app = typer.Typer()
_Tokens = Annotated[
    float | None, typer.Option("--corpus-tokens", help="Tokens in the training corpus, such as 2e12.")
]
_Skill = Annotated[float | None, typer.Option("--skill-frequency", help="The share of sentences with a skill.")]
_Topic = Annotated[float | None, typer.Option("--topic-frequency", help="The share of sentences about a topic.")]
_Sentence = Annotated[float | None, typer.Option("--tokens-per-sentence", help="Tokens in a sentence.")]


@app.command()
def report(
    results: Annotated[
        list[str], typer.Argument(help="Folders or files that `skillmix eval` wrote; NAME=PATH names the student.")
    ],
    out: Out,
    before: Annotated[str, typer.Option(help="The student before fine-tuning, by name.")] = "before",
    after: Annotated[
        list[str] | None, typer.Option(help="A student after fine-tuning, by name. Repeatable.")
    ] = None,
    no_published: Annotated[bool, typer.Option("--no-published", help="Leave out the papers' rows.")] = False,
    calibration: Calibrations = None,
    tables: Annotated[
        Path | None, typer.Option(help="A folder that `skillmix tables` wrote; the page shows its tables, too.")
    ] = None,
    corpus_tokens: _Tokens = None,
    skill_frequency: _Skill = None,
    topic_frequency: _Topic = None,
    tokens_per_sentence: _Sentence = None,
    as_json: AsJson = False,
) -> None:
    """Make a page, tables and plots from any number of results.

    skillmix report results --out report
    """
    from grading.commands.closing import names, show_closing
    from grading.commands.words import many
    from hub_cards.report.page.page import read_experiment
    from hub_cards.report.page.write import write_report
    from hub_cards.report.stats.novelty import corpus_of
    from hub_cards.report.study.study import make_study
    from skillmix_tasks.calibration.record import load_calibration
    from skillmix_tasks.stored.facts import cost_of, covered_of, in_process
    from skillmix_tasks.stored.find_results import find_results

    calibrations = [load_calibration(path) for path in calibration or ()]
    corpus = corpus_of(corpus_tokens, skill_frequency, topic_frequency, tokens_per_sentence)
    study = make_study(
        find_results(results),
        corpus=corpus,
        published=not no_published,
        before=before,
        after=after or ("after",),
        calibrations=calibrations,
    )
    replaced = (out / "index.html").is_file()
    written = write_report(study, out, experiment=read_experiment(tables) if tables else None)
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in written], "notes": study.notes}))
    else:
        for note in study.notes:
            typer.echo(note)
    runs = [entry.run for entry in study.entries]
    students = {row.name for row in study.measured}
    covered = covered_of((run.task, run.covered, run.items) for run in runs)
    facts = {
        "student": names(run.student.name for run in runs),
        "pack": names(run.record.pack.name for run in runs),
        "judge": names(run.judge.name for run in runs),
        "turns": names(str(run.protocol.turns) for run in runs),
        "votes": names(f"{run.protocol.votes} for each answer" for run in runs),
        "coverage": f"{covered} in {many(len(runs), 'result')} of {many(len(students), 'student')}",
        "cost": cost_of(
            (run.record.grading for run in runs),
            free=all(in_process(run.judge_record) for run in runs),
            earlier=True,
        ),
        "results": f"{out} (in place of an earlier report)" if replaced else out,
        "page": out / "index.html",
    }
    given = [part for path in dict.fromkeys(results) for part in ("--results", path)]
    given += [part for path in calibration or () for part in ("--calibration", str(path))]
    show_closing(facts, ["push", "space", "ORG/NAME", *given, "--dry-run"], as_json=as_json)


@app.command()
def novelty(
    k: Ks = None,
    corpus_tokens: _Tokens = None,
    skill_frequency: _Skill = None,
    topic_frequency: _Topic = None,
    tokens_per_sentence: _Sentence = None,
    score: Annotated[
        float | None, typer.Option(min=0, max=1, help="A score in full marks to compare with the bound.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the highest score that a student could reach by repeating its training corpus.

    skillmix novelty --k 5 --corpus-tokens 2e12
    """
    from grading import UserError
    from hub_cards.report.page.words import power_of_ten
    from hub_cards.report.stats.novelty import ASSUMPTIONS, corpus_of, novel_share, sensitivity

    ks = numbers(k)
    if not ks:
        raise UserError("--k is missing: type --k 5, or --k 3,4,5.")
    corpus = corpus_of(corpus_tokens, skill_frequency, topic_frequency, tokens_per_sentence)
    bounds = {number: corpus.bound(number) for number in ks}
    if as_json:
        record = {
            "corpus": asdict(corpus),
            "bounds": bounds,
            "novel_share": None
            if score is None
            else {n: novel_share(score, bound) for n, bound in bounds.items()},
            "sensitivity": {number: sensitivity(corpus, number) for number in ks},
            "assumptions": ASSUMPTIONS,
        }
        typer.echo(json.dumps(record))
        return
    sentences = corpus.tokens / corpus.sentence
    typer.echo(
        f"A corpus of {power_of_ten(corpus.tokens)} tokens ({power_of_ten(sentences)} sentences), with a skill in "
        f"a share of {corpus.skill:g} and a topic in a share of {corpus.topic:g} of its sentences:"
    )
    for number, bound in bounds.items():
        typer.echo(f"k = {number}: at most {bound:.2g} of the combinations are in it")
        if score is not None:
            share = novel_share(score, bound)
            typer.echo(f"  of a score of {score:g} at least {share:.0%} is not explained by that")
        for name, (half, double) in sensitivity(corpus, number).items():
            typer.echo(f"  {name} halved: {half:.2g}; doubled: {double:.2g}")
    typer.echo("This assumes that " + "; that ".join(ASSUMPTIONS) + ".")


@app.command()
def power(
    difference: Annotated[float, typer.Option(help="The difference to detect, such as 0.1.")],
    rate: Annotated[float, typer.Option(help="The first student's score.")],
    discordant: Annotated[
        float | None,
        typer.Option(help="The share of items on which the two differ; by default they are independent."),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print how many items detect a difference between two students, at 5 % with a power of 80 %.

    skillmix power --difference 0.1 --rate 0.3
    """
    from training.power import MOST, POWER, discordant_share, items_needed

    needed = items_needed(rate, difference, discordant)
    share = discordant_share(rate, difference) if discordant is None else discordant
    if as_json:
        typer.echo(json.dumps({"items": needed, "power": POWER, "discordant": share}))
        return
    number = f"{needed:,}" if needed else f"more than {MOST:,}"
    typer.echo(
        f"{number} items, judged for both students, show a difference of {difference:g} from {rate:g} with a "
        f"chance of {POWER:.0%}, if the two differ on a share of {share:.2f} of the items."
    )
