"""Helpers of the benchmarks on the reference data."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

from grading import UserError


def print_for_folder(name: str, figures: Callable[[Path], str]) -> None:
    """Be the benchmark `name`: print the figures for the folder that the command names."""
    if len(sys.argv) != 2:
        sys.exit(f"usage: python -m benchmarks.{name} FOLDER_OF_THE_REFERENCE_DATA")
    try:
        print(figures(Path(sys.argv[1])))  # noqa: T201
    except UserError as error:
        sys.exit(f"Error: {error}")
