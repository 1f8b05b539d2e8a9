"""`skillmix eval`: lm_eval's own command line, with our tasks known and without indexing lm-eval's others."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from difflib import get_close_matches
from pathlib import Path
from typing import TYPE_CHECKING, Any

from grading import UserError
from grading.keys import redacted, register_argument_keys, without_keys
from skillmix_tasks.harness.task_files import harness_folder

if TYPE_CHECKING:
    from skillmix_tasks.harness.settings import Settings


_DICTIONARIES = (["--metadata"], ["--model_args", "-a"], ["--gen_kwargs"])


def own_names() -> list[str]:
    """The names of our tasks and groups: those of the YAML files."""
    return sorted(file.stem for file in harness_folder().glob("*.yaml") if not file.stem.startswith("_"))


def run_lm_eval(
    arguments: Sequence[str], overrides: Mapping[str, Any] | None = None, *, as_json: bool = False
) -> None:
    """Do what `lm_eval ARGUMENTS` does; with `as_json` print the results as one JSON object and no table.

    `overrides` are settings of our tasks that win over those in --metadata. Raises UserError, before a model is
    loaded, for every fault that can be found by then.
    """
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    from skillmix_tasks.harness.logs import quiet_git, show_our_logs
    from skillmix_tasks.harness.preflight import loading_student

    typed = sys.argv
    check_json(arguments)
    _check_named(arguments)
    setup_logging()
    sys.argv = ["skillmix eval", "run", *arguments, *(["--show_config"] if as_json else [])]
    cli = HarnessCLI()
    args = cli.parse_args()
    given = _given(args)
    if overrides:
        metadata = given.get("metadata") or {}
        args.metadata = {**metadata, "skillmix": {**(metadata.get("skillmix") or {}), **overrides}}
        given = _given(args)
    show_our_logs()
    for name in ("model_args", "metadata"):
        if isinstance(given.get(name), dict):
            register_argument_keys(given[name])
    names = _task_names(given.get("tasks"))
    unknown = [name for name in names if _like_ours(name) and not _matches(name) and not _is_file(name)]
    if unknown and not given.get("include_path"):
        raise _no_task(unknown)
    settings = check_run(args)
    output = given.get("output_path")
    student = loading_student(str(given.get("model") or "hf"))
    with _own_tasks(names), _complete_files(output), _results_without_keys() as made, quiet_git(), student:
        if as_json:
            _print_json(cli, args)
        elif settings.controls:
            _print_failed_controls_first(cli, args)
        else:
            cli.execute(args)
    sys.argv = typed
    _close(made, output, as_json=as_json)


def _close(made: Sequence[dict[str, Any]], output: str | None, *, as_json: bool) -> None:
    """Print the last lines of a run with tasks of ours; other ranks than the first have no results."""
    from grading.commands.closing import show_closing
    from skillmix_tasks.stored.answers import take_written
    from skillmix_tasks.stored.facts import run_facts

    facts, answers = run_facts(made), take_written()
    if not facts:
        return
    following: list[object] = ["grade", *answers, "--out", "results"] if answers else []
    if output is not None and facts["judge"] != "not judged":
        following = ["report", output, "--out", Path(output, "report")]
    where: dict[str, object] = {"results": output or "not saved, for want of --out DIR"}
    if output is None and answers:
        where["answers"] = answers[0].parent
    show_closing(facts | where, following, as_json=as_json)


def _typed(arguments: Sequence[str]) -> argparse.Namespace:
    """Those of lm_eval's `arguments` that are checked before lm_eval reads them, as words."""
    parser = argparse.ArgumentParser(add_help=False, allow_abbrev=False)
    parser.add_argument("--tasks", "-t", nargs="*", action="extend", default=[])
    parser.add_argument("--config", "-C")
    parser.add_argument("--limit", "-L")
    parser.add_argument("--model", "-M")
    parser.add_argument("--num_fewshot", "-f")
    parser.add_argument("--items")
    for names in _DICTIONARIES:
        parser.add_argument(*names, nargs="*", action="append", default=[])
    return parser.parse_known_args(arguments)[0]


def _check_named(arguments: Sequence[str]) -> None:
    """Raise UserError if the arguments name no task or no model; lm-eval then prints its help or a traceback."""
    given = _typed(arguments)
    if given.limit is not None:
        try:
            limit = float(given.limit)
        except ValueError:
            limit = 0.0
        if not 0 < limit < float("inf"):
            raise UserError(f"--limit takes a number of items above 0, not {given.limit!r}: type --limit 10.")
    if given.items:
        raise UserError(
            f"--items is not an option of eval: type --limit {given.items} for the first items of each task, or "
            f"--set items={given.items} for a smaller sample."
        )
    ours = all(name.startswith("skillmix") for name in ",".join(given.tasks).split(","))
    if ours and given.num_fewshot not in (None, "0"):
        raise UserError("The tasks have no examples to show before an item: leave --num_fewshot out.")
    if given.config:
        return
    if not given.tasks:
        raise UserError(
            "--tasks is missing: type --tasks skillmix_k4, or another that `skillmix tasks` lists. "
            "`skillmix eval --help` has an example."
        )
    if not any(given.model_args):
        raise UserError(
            "--model_args is missing: type --model hf --model_args pretrained=MODEL, or --model "
            "local-chat-completions --model_args model=NAME,base_url=URL."
        )
    words = ",".join(word for words in given.model_args for word in words)
    if (given.model or "").startswith("local-") and "base_url" not in words:
        raise UserError(
            f"--model {given.model} needs the address of the student: add base_url=URL to --model_args, such as "
            f"--model_args {words.split('{')[0] or 'model=NAME'},base_url=http://localhost:8000/v1."
        )


def check_json(arguments: Sequence[str]) -> None:
    """Raise UserError if an option among lm_eval's `arguments` that is about our tasks holds invalid JSON.

    KEY=VALUE is left to lm-eval, and so are the options of runs without our tasks.
    """
    given = _typed(arguments)
    ours = "skillmix" in str(given.tasks).lower()
    for words in given.metadata:
        text = " ".join(words)
        if (ours or "skillmix" in text.lower()) and (fault := _json_fault(words)):
            raise UserError(
                f"--metadata takes one JSON object in single quotes, not {text} ({fault}): "
                'type --metadata \'{"skillmix": {"judge": "NAME"}}\'.'
            )
    for name in ("model_args", "gen_kwargs"):
        for words in getattr(given, name):
            if ours and (fault := _json_fault(words)):  # without the text, which may hold a key
                raise UserError(f"--{name} takes KEY=VALUE, or one JSON object in single quotes ({fault}).")


def _json_fault(words: Sequence[str]) -> str | None:
    """Why lm-eval cannot read the words as one JSON object, if they are meant as one.

    lm-eval takes a first word with a brace for JSON, and then drops the others.
    """
    if not words or not ("{" in words[0] or words[0].lstrip().startswith(("[", '"', "'"))):
        return None
    try:
        value = json.loads(words[0])
    except json.JSONDecodeError as error:
        return f"{error.msg}, character {error.pos + 1}"
    if not isinstance(value, dict):
        return "not an object"
    return "more words follow the object" if len(words) > 1 else None


def check_run(args: argparse.Namespace) -> Settings:
    """Return the settings in lm_eval's parsed arguments.

    Raises UserError if they are invalid, or if a task of ours is named and a judge cannot answer.
    """
    from skillmix_tasks.harness.settings import read_settings, refuse_bare_settings

    given = _given(args)
    metadata = given.get("metadata") or {}
    ours = any(_matches(name) for name in _task_names(given.get("tasks")))
    if ours:
        refuse_bare_settings(metadata)
    settings = read_settings(metadata)
    if ours:
        _check_before_loading(given, settings)
    return settings


def explain_unknown_tasks(names: Sequence[str]) -> None:
    """Raise UserError if a task that lm-eval does not know has a name like one of ours."""
    if any(_like_ours(name) for name in names):
        raise _no_task(names)


def _like_ours(name: str) -> bool:
    return "skillmix" in Path(name).name.lower() or bool(_near(name))


def _near(name: str) -> list[str]:
    """The task of ours that a name resembles most, if one does."""
    return get_close_matches(Path(name).name.lower(), own_names(), n=1, cutoff=0.8)


def _no_task(names: Sequence[str]) -> UserError:
    near = next((f" (did you mean {one}?)" for name in names for one in _near(name)), "")
    return UserError(
        f"There is no task {', '.join(names)}{near}: `skillmix tasks` lists ours and "
        "`lm_eval ls tasks` lm-eval's; tasks of your own need --include_path FOLDER."
    )


def _given(args: argparse.Namespace) -> dict[str, Any]:
    """The value on the command line, or else in the file of --config."""
    from lm_eval.config.evaluate_config import EvaluatorConfig
    from lm_eval.utils import simple_parse_args_string

    typed = {name: value for name, value in vars(args).items() if value}
    given = (EvaluatorConfig.load_yaml_config(typed["config"]) if "config" in typed else {}) | typed
    if isinstance(given.get("metadata"), str):
        given["metadata"] = simple_parse_args_string(given["metadata"])
    return given


def _task_names(tasks: str | list[str] | None) -> list[str]:
    entries = [tasks] if isinstance(tasks, str) else tasks or []
    return [name for entry in entries for name in entry.split(",") if name]


def _matches(pattern: str) -> bool:
    return any(Path(name).match(pattern) for name in own_names())


def _is_file(name: str) -> bool:
    """Whether lm-eval reads a task's name as the name of YAML files or of a folder of them."""
    return name.endswith(".yaml") or Path(name).is_dir()


def _check_before_loading(given: dict[str, Any], settings: Settings) -> None:
    from skillmix_tasks.harness.preflight import check_judges, check_student, refuse_chat_api

    output = given.get("output_path")
    if output and Path(output).is_file():
        raise UserError(f"--out takes a folder, and {output} is a file: type another name.")
    for option in ("log_samples", "predict_only"):
        if given.get(option) and not output:
            raise UserError(f"--{option} writes files: type --out FOLDER, too.")
    if not given.get("apply_chat_template"):
        refuse_chat_api(str(given.get("model", "")))
    if not given.get("predict_only"):
        check_judges(settings.judges(), batch=settings.batch)
    arguments = given.get("model_args")
    check_student(str(given.get("model") or "hf"), arguments if isinstance(arguments, dict) else {})


@contextmanager
def _own_tasks(names: Sequence[str]) -> Iterator[None]:
    """Make our tasks known beside the user's, and read lm-eval's own only if `names` need them.

    lm-eval's command has no switch that leaves its 14,683 task files unread; its TaskManager has. A group of the
    user's may hold tasks of lm-eval's, so only single tasks do without.
    """
    import lm_eval.tasks

    from skillmix_tasks.harness.logs import replaced

    manager = lm_eval.tasks.TaskManager

    def with_ours(include_path: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        paths = [str(harness_folder()), *([include_path] if include_path else [])]
        few = manager(include_path=paths, include_defaults=False, metadata=metadata)
        if names and all(_matches(name) or name in few.all_subtasks for name in names):
            return few
        every = manager(include_path=paths, metadata=metadata)
        unknown = [name for name in names if not (_is_file(name) or every.match_tasks([name]))]
        if unknown:
            raise _no_task(unknown)
        return every

    with replaced(lm_eval.tasks, "TaskManager", with_ours):
        yield


@contextmanager
def _complete_files(output: str | None) -> Iterator[None]:
    """Raise UserError at the end if results or samples are incomplete on the disk, which lm-eval only logs."""
    import lm_eval.loggers

    from skillmix_tasks.harness.logs import replaced
    from skillmix_tasks.stored.sample_files import CheckedTracker

    made: list[CheckedTracker] = []

    def tracker(**options: Any) -> CheckedTracker:
        made.append(CheckedTracker(**options))
        return made[0]

    with replaced(lm_eval.loggers, "EvaluationTracker", tracker):
        yield
    if lost := [name for one in made for name in one.lost]:
        raise UserError(
            f"{output} lacks {' and '.join(lost)} (lm-eval's log above has the reason). The answers and verdicts "
            f"are saved: free space, then run `skillmix grade ANSWERS --out {output}` with the file of answers "
            "that the log names."
        )


@contextmanager
def _results_without_keys() -> Iterator[list[dict[str, Any]]]:
    """Remove keys from the output and files of lm-eval: it repeats its --model_args, tokens and headers included.

    Yields a list that the results are put into.

    Its command has no place for that between the evaluation and its files.
    """
    import lm_eval

    from skillmix_tasks.harness.logs import replaced

    evaluate = lm_eval.simple_evaluate

    def clean(*args: Any, **kwargs: Any) -> dict[str, Any] | None:
        results: dict[str, Any] | None = redacted(evaluate(*args, **kwargs))
        given = kwargs.get("model_args")
        if isinstance(given, dict):  # printed after the evaluation
            cleaned = without_keys(given)
            given.clear()
            given.update(cleaned)
        for config in (results or {}).get("configs", {}).values():
            if isinstance(config.get("metadata"), dict):
                config["metadata"] = without_keys(config["metadata"])
        if results is not None and isinstance(results["config"].get("model_args"), dict):
            results["config"]["model_args"] = without_keys(results["config"]["model_args"])
        if results is not None:
            made.append({name: value for name, value in results.items() if name != "samples"})
        return results

    made: list[dict[str, Any]] = []
    with replaced(lm_eval, "simple_evaluate", clean):
        yield made


def _print_failed_controls_first(cli: Any, args: argparse.Namespace) -> None:
    from skillmix_tasks.scoring.controls import take_failures

    output = io.StringIO()
    try:
        with redirect_stdout(output):
            cli.execute(args)
    finally:
        print(*take_failures(), output.getvalue(), sep="\n", end="")  # noqa: T201


def _print_json(cli: Any, args: argparse.Namespace) -> None:
    with redirect_stdout(io.StringIO()) as output:
        cli.execute(args)
    # --show_config puts the results first, and the table after them.
    text = output.getvalue()
    results, _ = json.JSONDecoder().raw_decode(text, text.index('{\n  "results"'))
    print(strict_json(results))  # noqa: T201


def strict_json(results: Any) -> str:
    """Results as JSON that every reader takes: a score that is missing is null, where Python writes NaN."""
    text = json.dumps(results, default=str)
    return json.dumps(json.loads(text, parse_constant=lambda _: None))
