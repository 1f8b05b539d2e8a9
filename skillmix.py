"""The command `skillmix`: SKILL-MIX for lm-evaluation-harness."""

from __future__ import annotations

import errno
import sys
from functools import cache
from io import TextIOWrapper
from pathlib import Path
from typing import Annotated, Any

import skillmix_tasks  # noqa: F401  # isort: skip  (first: it says if a package of ours is hidden or too old)

import typer
from typer.core import TyperGroup

_INTERRUPTED = 130  # the exit status after Ctrl-C
_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


class _Commands(TyperGroup):
    """Says in our words what value an option expects; typer prints pydantic's."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            from pydantic import ValidationError

            from grading.errors import first_fault

            if isinstance(error.__cause__, ValidationError):
                error.message = f"{first_fault(error.__cause__).reason}."
            raise


app = typer.Typer(
    cls=_Commands,
    help="SKILL-MIX for lm-evaluation-harness: evaluate models, check judges, make training data, and publish.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def _print_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"skillmix-tasks {version('skillmix-tasks')}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version.")
    ] = False,
) -> None:
    pass


@cache
def mount() -> None:
    """Add the commands of every package to `app`."""
    from grading.cli import app as grading_app
    from grading.store.cli import app as store_app
    from hub_cards.cli import app as push_app
    from hub_cards.report.cli import app as report_app
    from skillmix_tasks.cli import app as tasks_app
    from training.cli import app as training_app

    for panel, commands in (
        ("Evaluate", tasks_app),
        ("Judges", grading_app),
        ("Training", training_app),
        ("Results", report_app),
    ):
        for command in commands.registered_commands:
            command.rich_help_panel = panel
        app.add_typer(commands)
    app.add_typer(store_app, name="store", rich_help_panel="Judges")
    app.add_typer(push_app, name="push", rich_help_panel="Results")


def main() -> None:
    """Run one command; a user's mistake is one sentence and status 1."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):
            # A terminal without the table's arrows shows "?". Each line is written at once: where the encoding is
            # ASCII, typer does not use this buffer, and its lines would come before those that wait in it.
            stream.reconfigure(errors="replace", line_buffering=True)
    _check_training()
    from grading import UserError
    from grading.keys import redact

    mount()
    try:
        app()
    except SystemExit as end:
        if end.code == _INTERRUPTED:
            typer.echo("Stopped. Replies on disk are kept: run the same command again to resume.", err=True)
        raise
    except UserError as error:
        sys.exit(f"Error: {redact(str(error))}")
    except OSError as error:
        if error.errno not in _FULL:
            raise
        sys.exit(
            f"Error: {error.filename or 'A file'} cannot be written ({error.strerror}): free space, then run the "
            "same command again. Complete files on the disk are not made again."
        )


def _check_training() -> None:
    """A folder of the user's may stand before ours on the import path: `training` is a common word."""
    import training

    found = Path(next(iter(training.__path__)))
    if found.resolve() != Path(__file__).resolve().parent / "training":
        sys.exit(
            f"Error: The package `training` of skillmix-tasks is hidden by {found}: "
            "rename that folder, or run from another directory."
        )


if __name__ == "__main__":
    main()
