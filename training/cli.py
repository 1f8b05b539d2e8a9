"""The commands of this package; each imports what it needs when it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from itertools import takewhile
from pathlib import Path
from typing import Annotated

import typer

from grading.commands import options

app = typer.Typer()
_Accept = Annotated[int | None, typer.Option(min=1, metavar="N", help="Texts to accept of each k of --k.")]
_Plan = Annotated[
    str | None, typer.Option(help="paper, balanced, sample-8000, k4-probe, planning, or a YAML file.")
]
_Scale = Annotated[float, typer.Option(help="Multiply the plan's numbers by this, such as 0.1.")]
_RECIPE_HELP = "A recipe's name (`skillmix recipes`), or a YAML file."
_Recipe = Annotated[str, typer.Option("--recipe", help=_RECIPE_HELP)]
_RecipeIfAny = Annotated[str | None, typer.Option("--recipe", help=_RECIPE_HELP)]
_Teacher = Annotated[
    str | None,
    typer.Option(
        metavar="TEACHER", help="A model id, hf:DIRECTORY, or with --teacher-args a model of lm-eval (hf, vllm)."
    ),
]
_TeacherArgs = Annotated[str | None, typer.Option(help="As lm-eval's --model_args: pretrained=...")]
_TeacherBaseUrl = Annotated[
    str | None,
    typer.Option(metavar="URL", help="The teacher's OpenAI-compatible endpoint, such as http://HOST/v1."),
]


@app.command()
def leaks(
    directory: Annotated[Path, typer.Argument(help="A data set: its Parquet files and rows_k*.jsonl.")],
    tasks: options.Tasks = None,
    items: options.Items = 300,
    seed: options.Seed = 0,
    pack: options.PackIfAny = None,
    as_json: options.AsJson = False,
) -> None:
    """Search a data set for held-out topics, held-out skills in texts with several skills, and items of a task.

    By default the items of all tasks of the pack count. Rows of a pack of your own need --pack. The exit status
    is 1 if the data set leaks.
    """
    from training.data.leakage import check_leaks

    found = check_leaks(directory, tasks=options.listed(tasks), pack=pack, items=items, seed=seed)
    typer.echo(json.dumps(found.record()) if as_json else found.text())
    if found.leaks:
        raise typer.Exit(1)


@app.command()
def generate(
    out: options.Out,
    k: options.Ks = None,
    accept: _Accept = None,
    plan: _Plan = None,
    scale: _Scale = 1.0,
    teacher: _Teacher = None,
    teacher_args: _TeacherArgs = None,
    teacher_base_url: _TeacherBaseUrl = None,
    teacher_temperature: Annotated[
        float | None, typer.Option(metavar="NUMBER", help="Above 0; 0.7 by default.")
    ] = None,
    teacher_max_tokens: Annotated[
        int | None, typer.Option(metavar="N", help="Token limit of a reply; 1024 by default.")
    ] = None,
    teacher_stop: Annotated[
        list[str] | None, typer.Option(metavar="TEXT", help="A reply ends before this text. Repeatable.")
    ] = None,
    teacher_prefix: Annotated[
        str | None, typer.Option(help="Text at the beginning of each reply, for a teacher in this process.")
    ] = None,
    judge: options.Judges = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    pack: options.Pack = "language",
    seed: options.Seed = 0,
    turns: Annotated[int, typer.Option(min=1, max=2, metavar="N", help="Turns of each text.")] = 2,
    least_rate: Annotated[
        float, typer.Option(min=0, max=1, metavar="SHARE", help="Stop a k whose acceptance rate is lower.")
    ] = 0.01,
    concurrency: options.Concurrency = 32,
    batch: options.Batch = False,
    max_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    mix: Annotated[
        Path | None, typer.Option(help="Pre-training text: .txt, .jsonl, .parquet, or a data set.")
    ] = None,
    mix_share: Annotated[
        float | None,
        typer.Option(metavar="SHARE", help="The share of --mix in the training rows; 0.1 by default."),
    ] = None,
    validation: Annotated[
        float, typer.Option(metavar="SHARE", help="The share of the texts held back for validation.")
    ] = 0.02,
    as_json: options.AsJson = False,
) -> None:
    """Generate texts until enough of each k have full marks, and write a data set of them.

    skillmix generate --k 1,2,3 --accept 4000 --teacher MODEL --judge MODEL --out DIR

    That is 4,000 texts of each k, 12,000 in all. The exit status is 1 if no text was accepted.
    """
    from lm_eval.utils import setup_logging

    from grading import Budget, UserError
    from grading.commands.closing import same_command, show_closing
    from skillmix_tasks.harness.logs import show_our_logs
    from skillmix_tasks.harness.settings import given_settings, read_settings
    from skillmix_tasks.items.pack import bundled_packs
    from training.data.dataset import check_share
    from training.data.mix import Mix
    from training.texts.generate import Limits, Run
    from training.texts.generate import generate as make
    from training.texts.outcome import finish
    from training.texts.plan import choose_plan
    from training.texts.teacher import resolve_teacher

    setup_logging()
    show_our_logs()
    given = given_settings(judge=judge, judge_base_url=judge_base_url, votes=votes, max_usd=max_usd)
    settings = read_settings({"skillmix": given})
    run = Run(
        plan=choose_plan(plan, options.numbers(k), accept, scale),
        pack_name=pack,
        teacher=resolve_teacher(
            teacher,
            lm_args=teacher_args,
            base_url=teacher_base_url,
            temperature=teacher_temperature,
            max_tokens=teacher_max_tokens,
            stop=teacher_stop or None,
            prefix=teacher_prefix,
        ),
        judges=settings.judges(),
        seed=seed,
        turns=turns,
        least_rate=least_rate,
    )
    check_share(validation)  # what comes last is looked at first: it must not fail when all is paid for
    if mix is None and mix_share is not None:
        raise UserError(f"--mix-share {mix_share:g} is a share of the text of --mix: name that text, too.")
    mixed = Mix(mix, 0.1 if mix_share is None else mix_share) if mix is not None else None
    if mixed is not None:
        mixed.check()
    budget = Budget(max_usd=max_usd, max_tokens=max_tokens)
    outcome = make(run, out, Limits(concurrency=concurrency, batch=batch, budget=budget))
    report = finish(run, out, outcome, validation=validation, mix=mixed)
    typer.echo(json.dumps(report.record()) if as_json else report.text())
    whole = outcome.counts.accepted and not budget.turned_away
    own = [] if pack in bundled_packs() else ["--pack", pack]
    recipe = "mistral-7b-instruct-lora" if shutil.which("nvidia-smi") else "smollm2-135m-cpu"
    next_step = ["train", "--recipe", recipe, "--data", out, *own, "--out", f"{out}-run"]
    show_closing(report.closing(), next_step if whole else same_command(), as_json=as_json)
    if not outcome.counts.accepted:
        raise typer.Exit(1)


@app.command()
def train(
    recipe: _Recipe,
    data: Annotated[
        list[str],
        typer.Option(
            help="A directory of `skillmix generate`, ORG/NAME, or ORG/NAME@REVISION. Repeatable. "
            "DIR:CONFIG=ROWS takes this number of rows of a config."
        ),
    ],
    out: options.Out,
    settings: options.Sets = None,
    on_too_long: Annotated[str, typer.Option(help="For rows over max_length: fail, drop or truncate.")] = "fail",
    allow_leaks: Annotated[bool, typer.Option("--allow-leaks", help="Train on data that leaks.")] = False,
    pack: options.PackIfAny = None,
    merge: Annotated[
        bool, typer.Option("--merge", help="Also write adapter and base merged into one model.")
    ] = False,
    as_json: options.AsJson = False,
) -> None:
    """Fine-tune a chat model on a data set; the same command resumes a run that was stopped.

    skillmix train --recipe mistral-7b-instruct-lora --data DIR --out RUN

    --set changes a field of the recipe: --set steps=100 --set lora.r=8. The rows are searched for items of the
    recipe's tasks, so rows of a pack of your own need --pack.
    """
    from lm_eval.utils import setup_logging

    from grading.commands.closing import show_closing
    from skillmix_tasks.harness.logs import show_our_logs
    from skillmix_tasks.stored.facts import model_name
    from training.data.source import judge_options
    from training.trained import read_run
    from training.tune.distributed import is_main
    from training.tune.lengths import check_policy
    from training.tune.prepare import Options
    from training.tune.recipe import load_recipe
    from training.tune.train import result_text
    from training.tune.train import train as run

    setup_logging()
    show_our_logs()
    chosen = Options(on_too_long=check_policy(on_too_long), allow_leaks=allow_leaks, pack=pack, merge=merge)
    chosen_recipe = load_recipe(recipe, settings or ())
    result = run(chosen_recipe, data, out, chosen)
    if is_main():
        typer.echo(json.dumps(result) if as_json else result_text(out, result))
        facts = {
            "model": model_name(read_run(out).base),
            "data": ", ".join(data),
            "steps": f"{result['steps']:,}, {result['seconds']:,.0f} s",
            "results": out,
        }
        if result["device"] == "cpu":  # where the recipe's tasks take days
            tasks = ["--tasks", "skillmix_k2", "--limit", "2", "--gen_kwargs", "max_gen_toks=60"]
        else:
            tasks = [] if chosen_recipe.eval_tasks else ["--tasks", "skillmix_k2,skillmix_heldout_k2"]
        show_closing(facts, ["compare", out, *tasks, *judge_options(data)], as_json=as_json)


@app.command()
def recipes(as_json: options.AsJson = False) -> None:
    """List the recipes of fine-tuning, each with the model that it trains."""
    from training.tune.recipe import load_recipe, recipe_names

    models = {name: load_recipe(name).model for name in recipe_names()}
    typer.echo(json.dumps(models) if as_json else "\n".join(f"{name:32} {models[name]}" for name in models))


@app.command()
def fsdp2() -> None:
    """Print the path of accelerate's configuration for several GPUs (FSDP2).

    accelerate launch --config_file "$(skillmix fsdp2)" -m skillmix train ...
    """
    from importlib.resources import files

    typer.echo(str(files("training.tune").joinpath("accelerate", "fsdp2.yaml")))


@app.command(context_settings={"allow_extra_args": True, "ignore_unknown_options": True})
def compare(
    context: typer.Context,
    run: Annotated[
        list[str], typer.Argument(help="Folders of complete runs of `skillmix train` from one base model.")
    ],
    out: options.OutIfAny = None,
    tasks: options.Tasks = None,
    model: Annotated[str, typer.Option(help="lm-eval's model type: hf, or vllm after --merge.")] = "hf",
    judge: options.Judges = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    max_usd: options.MaxUsd = None,
    max_tokens: options.MaxTokens = None,
    pack: options.PackIfAny = None,
    settings: options.Sets = None,
    trust_file: options.Trust = False,
    as_json: options.AsJson = False,
) -> None:
    """Evaluate the base model, once, and the trained ones on the same items; other arguments go to lm_eval.

    skillmix compare RUN [RUN...] --judge MODEL --batch_size 16

    Without --tasks it takes the recipe's. Without --out it writes to RUN/evaluation; several runs need --out.
    """
    from lm_eval.utils import setup_logging

    from grading.commands.closing import show_closing
    from skillmix_tasks.harness.logs import show_our_logs
    from skillmix_tasks.harness.settings import given_settings
    from training.compare import compare as compare_models
    from training.trained import read_run

    setup_logging()
    show_our_logs()
    chosen = given_settings(
        settings,
        judge=judge,
        judge_base_url=judge_base_url,
        votes=votes,
        max_usd=max_usd,
        max_tokens=max_tokens,
        pack=pack,
    )
    folders = list(takewhile(lambda word: not word.startswith("-"), run))
    made = compare_models(
        [read_run(Path(folder)) for folder in folders],
        options.listed(tasks),
        chosen,
        out=out,
        model=model,
        arguments=[*run[len(folders) :], *context.args],
        trust=trust_file,
    )
    typer.echo(json.dumps(made.record()) if as_json else made.text())
    after = made.runs if len(made.runs) > 1 else ("after",)
    sides = [f"{side}={made.out / side}" for side in ("before", *after)]
    show_closing(made.facts, ["report", *sides, "--out", made.out / "report"], as_json=as_json)


@app.command()
def estimate(
    context: typer.Context,
    experiment: Annotated[
        Path | None, typer.Argument(help="The file of an experiment; it takes no option but --json.")
    ] = None,
    recipe: _RecipeIfAny = None,
    k: options.Ks = None,
    accept: _Accept = None,
    plan: _Plan = None,
    scale: _Scale = 1.0,
    teacher: _Teacher = None,
    teacher_args: _TeacherArgs = None,
    teacher_base_url: _TeacherBaseUrl = None,
    judge: options.Judges = None,
    judge_base_url: options.JudgeBaseUrl = None,
    votes: options.Votes = None,
    pack: options.Pack = "language",
    tasks: options.Tasks = None,
    items: options.Items = 100,
    as_json: options.AsJson = False,
) -> None:
    """Print the expected cost of judging, or of making texts, training on them and comparing the models.

    skillmix estimate --tasks skillmix_k4 --judge MODEL

    skillmix estimate --plan paper --teacher MODEL --judge MODEL --recipe mistral-7b-instruct-paper

    --tasks alone is the judging of one student. With --plan or --k it is texts, and with --recipe also a training
    and the comparison of the models on --tasks, by default the recipe's. For an
    experiment, the memory of each training is printed, too; the exit status is 1 if GPUs or budget do not suffice.
    """
    from grading import UserError

    if experiment is not None:
        typed = _typed(context, [name for name in context.params if name not in ("experiment", "as_json")])
        if typed:
            raise UserError(f"The experiment {experiment} says what {typed} would: leave the options out.")
        _estimate_experiment(experiment, as_json=as_json)
        return
    if recipe is None and tasks is None and _typed(context, ["items"]):
        raise UserError("--items is a number for each task: name them with --tasks, or a recipe with --recipe.")
    from skillmix_tasks.harness.settings import given_settings, read_settings
    from training.estimate import estimate as make
    from training.estimate import estimate_judging
    from training.texts.plan import choose_plan
    from training.texts.teacher import resolve_teacher
    from training.tune.recipe import load_recipe

    given = given_settings(judge=judge, judge_base_url=judge_base_url, votes=votes)
    settings = read_settings({"skillmix": given})
    if tasks and not (plan or k or accept or recipe or teacher):
        found = estimate_judging(settings.judges(), pack_name=pack, tasks=options.listed(tasks), items=items)
        typer.echo(json.dumps(found.record()) if as_json else found.text())
        return
    found = make(
        choose_plan(plan, options.numbers(k), accept, scale),
        resolve_teacher(teacher, lm_args=teacher_args, base_url=teacher_base_url),
        settings.judges(),
        load_recipe(recipe) if recipe else None,
        pack_name=pack,
        tasks=options.listed(tasks),
        items=items,
    )
    typer.echo(json.dumps(found.record()) if as_json else found.text())


def _typed(context: typer.Context, names: Sequence[str]) -> str:
    """Those of the options `names` that were typed, as a sentence lists them."""
    from grading.commands.words import listed

    sources = {name: context.get_parameter_source(name) for name in names}
    return listed(
        [f"--{name.replace('_', '-')}" for name in names if getattr(sources[name], "name", "") == "COMMANDLINE"]
    )


def _estimate_experiment(file: Path, *, as_json: bool) -> None:
    from training.experiment.spec import load_experiment

    experiment = load_experiment(file)
    from training.experiment.estimate import estimate_experiment  # takes seconds, which a wrong file need not

    found = estimate_experiment(experiment)
    typer.echo(json.dumps(found.record()) if as_json else found.text())
    found.check()


_Experiment = Annotated[Path, typer.Argument(help="The file of an experiment, such as reproduce/paper.yaml.")]


@app.command()
def steps(experiment: _Experiment, out: options.Out, as_json: options.AsJson = False) -> None:
    """List the commands of an experiment in their order, for reproduce/Snakefile or to run them by hand."""
    from training.experiment.spec import load_experiment
    from training.experiment.steps import steps as all_steps

    found = all_steps(load_experiment(experiment), experiment, out)
    if as_json:
        typer.echo(json.dumps([step.record() for step in found]))
    else:
        typer.echo("\n".join(f"# {step.mark}\n{step.command}" for step in found))


@app.command()
def tables(experiment: _Experiment, out: options.Out, as_json: options.AsJson = False) -> None:
    """Write the paper's tables and figure, and a verdict on its claims, from an experiment's results.

    skillmix tables reproduce/paper.yaml --out OUT
    """
    from training.experiment.spec import load_experiment, slug
    from training.experiment.steps import measured
    from training.experiment.tables import write_tables

    known = load_experiment(experiment)
    wanted = measured(known, out)
    there = [one for one in wanted if one.results.is_dir()]
    written = write_tables(
        there,
        arms=list(known.arms),
        out=out / "tables",
        # A verdict on half of the results could be another one than on all.
        conclusive=known.conclusive and len(there) == len(wanted),
        texts=[folder for name in known.texts if (folder := out / "texts" / slug(name)).is_dir()],
    )
    if as_json:
        typer.echo(json.dumps({"files": [str(path) for path in written], "missing": len(wanted) - len(there)}))
        return
    if len(there) < len(wanted):
        typer.echo(f"{len(wanted) - len(there)} of {len(wanted)} results are missing, so no claim gets a verdict.")
    typer.echo(f"{len(written)} files: open {out / 'tables' / 'claims.md'}")
