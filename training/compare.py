"""`skillmix compare`: the base model and the models of training runs, on the same items.

    RUN/evaluation/run.json          (or --out) the comparison: tasks, arguments, judge, models
    RUN/evaluation/before/answers/   the base model's answers, a file for each task
    RUN/evaluation/before/           its results and samples as lm_eval writes them; `whole` once all are there
    RUN/evaluation/after/            the same of the trained model
    RUN/evaluation/comparison.md     the table, and comparison.json

Several runs share one folder, where each has a folder of its name in place of `after`. Their base model answers
and is judged once.

Each model answers in a process of its own, whose memory is free when the next begins, and is judged from disk. So
the same command resumes a comparison that was stopped: it generates the answers that are missing, and pays
for no vote twice.
"""

from __future__ import annotations

import json
import logging
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from argparse import ArgumentParser
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from dataclasses import asdict, dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any

from grading import UserError
from grading.commands.options import listed
from grading.keys import redacted, register_text_keys
from grading.models.fingerprint import weights_fingerprint
from grading.panel import panel_name, panel_record
from grading.safety.atomic import write_atomic
from skillmix_tasks.harness.settings import Settings, read_settings
from skillmix_tasks.harness.task_files import tasks_named
from skillmix_tasks.stored.answers import ANSWERS_VARIABLE, read_header
from skillmix_tasks.stored.facts import model_name, run_facts
from training.comparison import ComparedTask, compare_halves, comparison_text, read_half
from training.data.folder import claimed
from training.trained import TrainedRun, check_base
from training.tune.recipe import EMBEDDED

logger = logging.getLogger(__name__)

_WHOLE = "whole"
_NOT_TAKEN = {  # lm_eval's arguments that are given here, and what to type in their place
    "--output_path": "type --out DIR",
    **dict.fromkeys(("--predict_only", "-x"), "the answers are judged"),
    "--metadata": "type --set KEY=JSON for each setting",
    "--apply_chat_template": "it is always set",
    "-t": "type --tasks",
    "-M": "type --model",
}
# Arguments and settings that change only the speed: they may change when a comparison resumes.
_SPEED = ("--batch_size", "-b", "--max_batch_size", "--device", "--verbosity", "-v")
_HOW = {"concurrency", "adaptive", "max_usd", "max_tokens", "price", "batch", "max_missing"}
_JUDGE = {"judge", "judge_base_url", "votes"}  # in the judges' own record


@dataclass(frozen=True)
class Comparison:
    """Each run's rows by its name, and the sentences above them."""

    runs: dict[str, list[ComparedTask]]
    base_model: str
    judge: dict[str, Any]
    about: list[str]
    out: Path
    facts: dict[str, object]  # for the command's last lines

    def record(self) -> dict[str, Any]:
        """The comparison as JSON: one run's rows, or those of each run by its name."""
        about = {"base_model": self.base_model, "judge": self.judge}
        tasks = {name: {"tasks": [asdict(row) for row in rows]} for name, rows in self.runs.items()}
        return about | ({"runs": tasks} if len(tasks) > 1 else next(iter(tasks.values())))

    def text(self) -> str:
        return comparison_text(self.runs, self.about)


def compare(
    runs: TrainedRun | Sequence[TrainedRun],
    tasks: Sequence[str] = (),
    settings: Mapping[str, Any] | None = None,
    *,
    out: Path | None = None,
    model: str = "hf",
    arguments: Sequence[str] = (),
    trust: bool = True,
) -> Comparison:
    """Evaluate the base model of `runs` and the trained ones on `tasks` (none: the recipe's), and write the table.

    The comparison is in `out` (None: one run's folder evaluation; several need a folder). `settings` are the
    tasks' (skillmix_tasks.harness.settings), `model` and `arguments` go to lm_eval. Without `trust`, a base model
    that only the folder of others names is not loaded. Raises UserError for every fault that can be found before
    anything is generated, if another comparison is there already, and if a model or the judge fails.
    """
    runs = [runs] if isinstance(runs, TrainedRun) else list(runs)
    out = _folder(runs, out)
    run = runs[0]
    settings = dict(settings or {})
    names = _task_names(run, tasks)
    _check_arguments(arguments)
    read = read_settings({"skillmix": settings})
    judges = read.judges()
    sides = _sides(runs, model)
    from skillmix_tasks.harness.preflight import check_judges

    check_judges(judges, batch=read.batch)
    for one in runs if not trust else ():
        check_base(one)
    base_weights = weights_fingerprint(run.base, run.revision)
    for one in runs:
        if Path(one.base).is_dir() and one.fingerprint not in (EMBEDDED, base_weights):
            logger.warning(
                "%s has other file sizes or times than at the training of %s: if it is another model, the "
                "comparison is wrong.",
                one.base,
                one.folder,
            )
    weights = [weights_fingerprint(str(one.folder / "model")) for one in runs]
    record: dict[str, Any] = {
        "tasks": names,
        "model": model,
        "arguments": redacted(_telling(arguments)),
        "settings": read.model_dump(mode="json", exclude=_HOW | _JUDGE),
        "judge": panel_record(judges),
        "base_weights": base_weights,
        "trained_weights": weights[0] if len(runs) == 1 else dict(zip(list(sides)[1:], weights, strict=True)),
    }
    with claimed(out, record, "skillmix compare"):
        took = ""
        for number, (side, models) in enumerate(sides.items(), start=1):
            place = f"{number} of {len(sides)} ({side}{took})"
            logger.info("Model %s: %s answers %s", place, models, ", ".join(names))
            begun = time.monotonic()
            asked = ["--model", model, "--model_args", models, *arguments]
            # A cap in the answers' settings would hold for every later judging of them.
            told = {name: value for name, value in settings.items() if name not in _HOW}
            if _answer(out / side / "answers", names, asked, told):
                took = f"; the one before took {timedelta(seconds=round(time.monotonic() - begun))}"
        unjudged = [out / side for side in sides if not (out / side / _WHOLE).exists()]
        failures = _judge_sides(unjudged, settings, read, trust=trust)
        before, *after = [read_half(out / side) for side in sides]
        shown = [one.folder.resolve().name for one in runs]
        comparison = Comparison(
            {name: compare_halves(before, half) for name, half in zip(shown, after, strict=True)},
            run.recipe.model,
            record["judge"],
            [
                *failures,
                f"{model_name(run.base)} before and after training ({', '.join(shown)}), judged by "
                f"{panel_name(judges)}. Scores of different judges are not comparable.",
            ],
            out,
            run_facts([half.results for half in (before, *after)], earlier=not unjudged) | {"results": out},
        )
        write_atomic(out / "comparison.json", json.dumps(comparison.record(), indent=1) + "\n")
        write_atomic(out / "comparison.md", comparison.text() + "\n")
    return comparison


def _folder(runs: Sequence[TrainedRun], out: Path | None) -> Path:
    if not runs:
        raise UserError("Name the folder of a run: `skillmix compare RUN`.")
    if out is None and len(runs) > 1:
        raise UserError("Several runs need a folder for their comparison: type --out DIR.")
    return out or runs[0].folder / "evaluation"


def _sides(runs: Sequence[TrainedRun], model: str) -> dict[str, str]:
    """lm-eval's --model_args by the folder of each side, the base model's first.

    Raises UserError if the runs have another base model, or one name.
    """
    sides = [one.model_arguments(model) for one in runs]
    if len(runs) == 1:
        return sides[0]
    found = {"before": sides[0]["before"]}
    for one, side in zip(runs, sides, strict=True):
        if (one.base, one.revision, one.fingerprint) != (runs[0].base, runs[0].revision, runs[0].fingerprint):
            raise UserError(
                f"{one.folder} was trained from another base model than {runs[0].folder} ({one.recipe.model} and "
                f"{runs[0].recipe.model}, or other weights): compare each with its own."
            )
        name = one.folder.resolve().name
        if name in found or name == "comparison.md":
            raise UserError(f"Two sides of the comparison would be called {name}: rename the folder {one.folder}.")
        found[name] = side["after"]
    return found


def _task_names(run: TrainedRun, tasks: Sequence[str]) -> list[str]:
    named = listed(list(tasks)) or run.recipe.eval_tasks
    if not named:
        raise UserError("The run's recipe names no tasks: type --tasks skillmix_k2,skillmix_heldout_k2.")
    return sorted({task for name in named for task in tasks_named(name)})


def _check_arguments(arguments: Sequence[str]) -> None:
    for argument in arguments:
        register_text_keys(argument)
        name = argument.partition("=")[0]
        if name in _NOT_TAKEN:
            raise UserError(f"`skillmix compare` gives lm_eval {name} itself: {_NOT_TAKEN[name]}.")


def _telling(arguments: Sequence[str]) -> list[str]:
    """The arguments without those of _SPEED and their values."""
    parser = ArgumentParser(add_help=False, allow_abbrev=False)
    for name in _SPEED:
        parser.add_argument(name)
    return parser.parse_known_args(arguments)[1]


def _answer(folder: Path, names: Sequence[str], arguments: Sequence[str], settings: Mapping[str, Any]) -> bool:
    """Let a model answer the tasks to which `folder` holds no answers yet; return whether there were any.

    Raises UserError if answers are missing afterwards.
    """
    missing = [name for name in names if name not in _answered(folder)]
    if not missing:
        return False
    # lm_eval requires logged predictions; ours are the answers.
    with tempfile.TemporaryDirectory() as logs, _sigterm_ends_the_child():
        done = subprocess.run(  # noqa: S603
            [
                *(sys.executable, "-P", "-m", "skillmix", "eval", *arguments),
                *("--tasks", ",".join(missing), "--apply_chat_template", "--predict_only", "--output_path", logs),
                *("--metadata", json.dumps({"skillmix": settings})),
            ],
            env=os.environ | {ANSWERS_VARIABLE: str(folder)},
            stdout=subprocess.DEVNULL,
            check=False,
        )
    still = [name for name in missing if name not in _answered(folder)]
    if done.returncode or still:
        raise UserError(
            f"The model's answers to {', '.join(still or missing)} are missing (the reason is above): fix it, "
            "then type the same command again, which resumes."
        )
    return True


@contextmanager
def _sigterm_ends_the_child() -> Iterator[None]:
    """SIGTERM ends this process by an exception, at which subprocess ends the child, too."""
    if threading.current_thread() is not threading.main_thread():  # only the main one may take signals
        yield
        return
    before = signal.signal(signal.SIGTERM, lambda number, _: sys.exit(128 + number))
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _answered(folder: Path) -> dict[str, Path]:
    """The file of each task's answers."""
    return {read_header(path).task: path for path in sorted(folder.glob("*.jsonl"))}


def _judge_sides(sides: Sequence[Path], settings: dict[str, Any], read: Settings, *, trust: bool) -> list[str]:
    """Judge the answers of each side; return sentences on failed control answers.

    Sides share a cap in equal parts, as they are judged one after the other.
    """
    from skillmix_tasks.commands.regrade import regrade
    from skillmix_tasks.scoring.controls import take_failures

    caps = read.part_of_caps(len(sides))
    for number, side in enumerate(sides, start=1):
        logger.info("Judging the answers of model %d of %d (%s)", number, len(sides), side.name)
        with redirect_stdout(sys.stderr):  # lm-eval prints its progress there
            regrade(list(_answered(side / "answers").values()), settings | caps, output=side, trust=trust)
        (side / _WHOLE).touch()
    return take_failures()
