"""The steps of an experiment: for each the command, what it waits for, and what it takes of a machine.

    OUT/texts/TEXTS                     texts, once for all arms
    OUT/runs/MODEL--ARM--SEED           trainings
    OUT/answers/MODEL--base             answers of each base model, once
    OUT/answers/MODEL--ARM--SEED        answers of each trained model
    OUT/results/JUDGE--MODEL--...       results of each judge
    OUT/tables, OUT/report              tables, figure, claims; the page
    OUT/budget                          what the paid steps have spent, against one cap
    OUT/done/RULE/NAME                  the mark of each step that is done

Each command resumes, so a step that was killed is simply run again. Answers and results are removed first: the
replies in them are in the store, and cost nothing.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from grading.cost.ledger import BUDGET_VARIABLE
from skillmix_tasks.commands.embedded import embedded_folder
from skillmix_tasks.items.pack import bundled_packs
from skillmix_tasks.stored.answers import ANSWERS_VARIABLE
from training.experiment.measured import BASE, Measured
from training.experiment.spec import Data, Experiment, Judge, Needs, assigned, named_model, slug
from training.tune.recipe import EMBEDDED, Recipe

_LIGHT = Needs(hours=1, memory_gb=4)
_LAUNCH = ("accelerate.commands.launch", "--config_file")


@dataclass(frozen=True)
class Step:
    """One job: `needs` are the marks (RULE/NAME) of the steps before it, `runtime` is in minutes."""

    rule: str
    name: str
    command: str
    needs: tuple[str, ...]
    gpu: int
    mem_mb: int
    runtime: int
    network: int

    @property
    def mark(self) -> str:
        """Its mark under OUT/done."""
        return f"{self.rule}/{self.name}"

    def record(self) -> dict[str, Any]:
        return asdict(self) | {"mark": self.mark}


@dataclass(frozen=True)
class Student:
    """A model that is measured: the base model (no arm, no seed), or what a training made of it."""

    model: str
    arm: str = BASE
    seed: int | None = None

    @property
    def name(self) -> str:
        """Its folder."""
        parts = [slug(self.model), slug(self.arm)] + ([] if self.seed is None else [f"seed{self.seed}"])
        return "--".join(parts)


def students(experiment: Experiment) -> list[Student]:
    """The base models and all trainings."""
    return [
        student
        for model in experiment.models
        for student in (
            Student(model),
            *(Student(model, arm, seed) for arm in experiment.arms for seed in experiment.seeds),
        )
    ]


def measured(experiment: Experiment, out: Path) -> list[Measured]:
    """Where the results of each student under each judge are."""
    return [
        Measured(student.model, student.arm, student.seed, judge, _results(out, judge, student))
        for judge in experiment.judge_specs()
        for student in students(experiment)
    ]


def steps(experiment: Experiment, file: Path, out: Path) -> Iterator[Step]:
    """All steps, those that others wait for first; `file` is the experiment's own."""
    own = [str(file)]
    first = _step("estimate", "all", _skillmix("estimate", *own), (), _LIGHT, network=True)
    yield first
    for name, texts in experiment.texts.items():
        yield _step("texts", slug(name), _generate(experiment, name, out), (first.mark,), texts, network=True)
    for student in students(experiment):
        needs: tuple[str, ...] = (first.mark,)
        if student.seed is not None:
            arm = experiment.arms[student.arm]
            texts_before = tuple(dict.fromkeys(f"texts/{slug(one.texts)}" for one in arm if one.texts))
            training = _step(
                "train",
                student.name,
                _train(experiment, student, out),
                (first.mark, *texts_before),
                experiment.models[student.model],
            )
            yield training
            needs = (training.mark,)
        yield _step("answers", student.name, _answer(experiment, student, out), needs, experiment.answering)
    judged = []
    for judge, judge_model in zip(experiment.judges, experiment.judge_specs(), strict=True):
        for student in students(experiment):
            grading = _step(
                "judge",
                f"{slug(judge_model)}--{student.name}",
                _grade(experiment, judge, _results(out, judge_model, student), _answers(out, student), out),
                (f"answers/{student.name}",),
                experiment.judging,
                network=True,
            )
            judged.append(grading.mark)
            yield grading
    tables = _skillmix("tables", *own, "--out", str(out))
    yield _step("tables", "all", tables, tuple(judged), _LIGHT)
    yield _step("report", "all", _report(experiment, out), ("tables/all",), _LIGHT)


def _step(
    rule: str, name: str, command: str, needs: tuple[str, ...], taken: Needs, *, network: bool = False
) -> Step:
    return Step(
        rule,
        name,
        command,
        needs,
        gpu=taken.gpus,
        mem_mb=round(taken.memory_gb * 1000),
        runtime=max(1, round(taken.hours * 60)),
        network=int(network),
    )


def _generate(experiment: Experiment, name: str, out: Path) -> str:
    texts, teacher, judge = experiment.texts[name], experiment.teacher, experiment.judges[0]
    told = teacher.model_dump(exclude={"model", "stop"})
    return _paid(experiment, out) + _skillmix(
        "generate",
        plan=texts.plan,
        scale=texts.scale,
        pack=experiment.pack,
        seed=texts.seed,
        turns=texts.turns,
        teacher=named_model(teacher.model),
        judge=named_model(judge.model),
        **{f"teacher_{option}": value for option, value in told.items()},
        judge_base_url=judge.base_url,
        votes=experiment.votes,
        mix=texts.mix,
        mix_share=None if texts.mix is None else texts.mix_share,
        teacher_stop=teacher.stop,
        max_usd=experiment.budget,
        out=out / "texts" / slug(name),
    )


def _train(experiment: Experiment, student: Student, out: Path) -> str:
    model, recipe = experiment.models[student.model], experiment.recipe(student.model)
    words = _words(
        "train",
        recipe=model.recipe,
        data=[data_argument(one, out) for one in experiment.arms[student.arm]],
        set=experiment.changes(student.model, student.seed),
        on_too_long=model.on_too_long,
        merge=recipe.method == "lora",
        pack=None if experiment.pack in bundled_packs() else experiment.pack,
        out=_run(out, student),
    )
    if model.gpus > 1:
        launch = f'{shlex.join([sys.executable, "-m", *_LAUNCH])} "$({_skillmix("fsdp2")})"'
        # Time for a checkpoint when the launcher is told to stop.
        return f"TORCH_ELASTIC_SHUTDOWN_TIMEOUT=1800 {launch} --num_processes {model.gpus} " + shlex.join(
            ["-m", "skillmix", *words]
        )
    # One process sees one GPU, of however many the machine has; a cluster has set this already.
    return ('CUDA_VISIBLE_DEVICES="${CUDA_VISIBLE_DEVICES-0}" ' if model.gpus else "") + _skillmix(*words)


def data_argument(data: Data, out: Path) -> str:
    """An entry of an arm as `skillmix train --data` takes it."""
    name = data.data if data.texts is None else str(out / "texts" / slug(data.texts))
    config = f":{data.config}" if data.config else ""
    return f"{name}{config}" + (f"={data.count}" if data.count else "")


def _answer(experiment: Experiment, student: Student, out: Path) -> str:
    answering, recipe = experiment.answering, experiment.recipe(student.model)
    model_args = _pretrained(recipe, student, out) + (f",{answering.model_args}" if answering.model_args else "")
    commands = []
    for folder, tasks, sets in _parts(experiment, _answers(out, student)):
        evaluate = _skillmix(
            "eval",
            *("--model", answering.model, "--model_args", model_args, "--tasks", ",".join(tasks)),
            *("--apply_chat_template", "--predict_only", "--output_path", str(folder / "log")),
            *answering.arguments,
            set=sets,
        )
        shown = shlex.quote(str(folder))
        commands.append(f"rm -rf {shown} && {ANSWERS_VARIABLE}={shown} {evaluate}")
    return " && ".join(commands)


def _parts(experiment: Experiment, folder: Path) -> Iterator[tuple[Path, tuple[str, ...], list[str]]]:
    """What is measured below `folder`: where, which tasks, and with which settings."""
    settings = experiment.task_settings
    yield folder / "all", experiment.tasks, assigned(settings)
    if experiment.drop_common_ks:
        yield folder / "uncommon", experiment.drop_common_tasks, assigned(settings | {"drop_common": True})


def _pretrained(recipe: Recipe, student: Student, out: Path) -> str:
    if student.seed is not None:
        return f"pretrained={_run(out, student) / ('merged' if recipe.method == 'lora' else 'model')}"
    if recipe.model == EMBEDDED:
        return f"pretrained={embedded_folder()}"
    return f"pretrained={recipe.model}" + (f",revision={recipe.revision}" if recipe.revision else "")


def _grade(experiment: Experiment, judge: Judge, results: Path, answers: Path, out: Path) -> str:
    commands = [f"rm -rf {shlex.quote(str(results))}"]
    for folder, _, sets in _parts(experiment, answers):
        grade = _skillmix(
            "grade",
            judge=named_model(judge.model),
            judge_base_url=judge.base_url,
            votes=experiment.votes,
            max_usd=experiment.budget,
            set=sets,
        )
        target = shlex.quote(str(results / folder.name))
        commands.append(f"{_paid(experiment, out)}{grade} -o {target} {shlex.quote(str(folder))}/*.jsonl")
    return " && ".join(commands)


def _report(experiment: Experiment, out: Path) -> str:
    named, changed = [], []
    first = next(iter(experiment.models))
    for one in measured(experiment, out):
        arm = "" if one.arm == BASE else f" {one.arm}"
        seed = "" if one.seed is None or len(experiment.seeds) == 1 else f" seed {one.seed}"
        name = f"{one.model}{arm}{seed}"
        named.append(f"{name}={one.results}")
        if one.model == first and one.arm != BASE and name not in changed:
            changed.append(name)
    # The page opens on one model before and after; the tables have all of them.
    sides = ["--before", first, *(word for name in changed for word in ("--after", name))]
    return _skillmix("report", *named, *sides, "--tables", str(out / "tables"), "-o", str(out / "report"))


def _paid(experiment: Experiment, out: Path) -> str:
    return "" if experiment.budget is None else f"{BUDGET_VARIABLE}={shlex.quote(str(out / 'budget'))} "


def _skillmix(*words: str, **options: Any) -> str:
    return shlex.join([sys.executable, "-P", "-m", "skillmix", *_words(*words, **options)])


def _words(*words: str, **options: Any) -> list[str]:
    """The words of a command with `options`: None and False are left out, and a list makes one for each entry."""
    found = list(words)
    for name, value in options.items():
        option = f"--{name.replace('_', '-')}"
        for one in value if isinstance(value, list | tuple) else [value]:
            if one is not None and one is not False:
                found += [option] if one is True else [option, str(one)]
    return found


def _run(out: Path, student: Student) -> Path:
    return out / "runs" / student.name


def _answers(out: Path, student: Student) -> Path:
    return out / "answers" / student.name


def _results(out: Path, judge: str, student: Student) -> Path:
    return out / "results" / f"{slug(judge)}--{student.name}"
