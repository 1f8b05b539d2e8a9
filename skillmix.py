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
    from grading import UserError

    # First: it says so if a folder hides our `grading`.
    from skillmix_tasks.cli import app as tasks_app  # isort: split

    from grading.judges_cli import app as judges_app
    from grading.store_cli import app as store_app

    app.add_typer(tasks_app)
    app.add_typer(judges_app)
    app.add_typer(store_app, name="store")
    try:
        app()
    except UserError as error:
        sys.exit(f"Error: {error}")


if __name__ == "__main__":
    main()
