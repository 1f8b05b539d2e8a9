"""`skillmix eval`: lm_eval's own command line, with our tasks known and without indexing lm-eval's others."""

from __future__ import annotations

import argparse
import io
import json
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, redirect_stdout
from pathlib import Path
from typing import Any

from grading import UserError
from skillmix_tasks.linking import harness_folder


def own_names() -> list[str]:
    """The names of our tasks and groups: those of the YAML files."""
    return sorted(file.stem for file in harness_folder().glob("*.yaml") if not file.stem.startswith("_"))


def run_lm_eval(arguments: Sequence[str], *, as_json: bool = False) -> None:
    """Do what `lm_eval ARGUMENTS` does; with `as_json` print the results as one JSON object and no table.

    Raises UserError, before a model is loaded, for what can be known to fail by then.
    """
    from lm_eval._cli import HarnessCLI
    from lm_eval.utils import setup_logging

    setup_logging()
    sys.argv = ["lm_eval", "run", *arguments, *(["--show_config"] if as_json else [])]
    cli = HarnessCLI()
    args = cli.parse_args()
    given = vars(args)  # lm-eval leaves out what was not typed
    names = _task_names(given.get("tasks"))
    unknown = [name for name in names if name.startswith("skillmix") and not _matches(name)]
    if unknown:
        raise UserError(f"There is no task {', '.join(unknown)}: `skillmix tasks` lists them.")
    if names and all(_matches(name) for name in names):
        _check_before_loading(given)
        with _own_tasks_only():
            _execute(cli, args, as_json=as_json)
    else:
        args.include_path = given.get("include_path") or str(harness_folder())
        _execute(cli, args, as_json=as_json)


def _task_names(tasks: str | list[str] | None) -> list[str]:
    entries = [tasks] if isinstance(tasks, str) else tasks or []
    return [name for entry in entries for name in entry.split(",")]


def _matches(pattern: str) -> bool:
    return any(Path(name).match(pattern) for name in own_names())


def _check_before_loading(given: dict[str, Any]) -> None:
    from skillmix_tasks.settings import read_settings
    from skillmix_tasks.task import check_judge

    settings = read_settings(given.get("metadata") or {})
    if given.get("model", "").endswith("chat-completions") and not given.get("apply_chat_template"):
        raise UserError("A chat endpoint takes no plain text: add --apply_chat_template.")
    if not given.get("predict_only"):
        check_judge(settings.judge_spec(), settings.concurrency)


@contextmanager
def _own_tasks_only() -> Iterator[None]:
    """lm-eval's command has no switch that leaves its own 14,683 task files unread; its TaskManager has."""
    import lm_eval.tasks

    manager = lm_eval.tasks.TaskManager

    def own(include_path: str | None = None, metadata: dict[str, Any] | None = None) -> Any:
        paths = [str(harness_folder()), *([include_path] if include_path else [])]
        return manager(include_path=paths, include_defaults=False, metadata=metadata)

    lm_eval.tasks.TaskManager = own
    try:
        yield
    finally:
        lm_eval.tasks.TaskManager = manager


def _execute(cli: Any, args: argparse.Namespace, *, as_json: bool) -> None:
    if not as_json:
        cli.execute(args)
        return
    with redirect_stdout(io.StringIO()) as output:
        cli.execute(args)
    # --show_config puts the results first, and the table after them.
    text = output.getvalue()
    results, _ = json.JSONDecoder().raw_decode(text, text.index('{\n  "results"'))
    print(json.dumps(results))  # noqa: T201
