"""The paper's tables and its figure, from the results of an experiment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from training.experiment.measured import Measured


def write_tables(
    measured: Sequence[Measured], *, arms: Sequence[str], out: Path, conclusive: bool
) -> list[Path]:
    """Write every table, Figure 2 and claims.md into `out`; returns the files.

    `arms` is the order of the rows. Without `conclusive` no claim gets a verdict: the run only proves the chain.
    """
    raise NotImplementedError
