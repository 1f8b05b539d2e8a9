"""The command `skillmix`: SKILL-MIX for lm-evaluation-harness."""

from __future__ import annotations

import sys

import typer

app = typer.Typer(
    help="SKILL-MIX for lm-evaluation-harness: evaluate, grade, and look at packs.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)


def main() -> None:
    """Run one command; a user's mistake is one sentence and status 1."""
    from skillmix_tasks.cli import app as tasks_app  # isort: skip  (it says so if a folder hides our `grading`)
    from grading import UserError
    from grading.cli import app as grading_app
    from grading.judges_cli import app as judges_app
    from grading.store_cli import app as store_app

    for commands in (tasks_app, grading_app, judges_app):
        app.add_typer(commands)
    app.add_typer(store_app, name="store")
    try:
        app()
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
