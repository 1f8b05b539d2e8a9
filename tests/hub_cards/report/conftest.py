"""One set of real results, and the report of it, for all tests of this folder."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub_cards.report.cli import report
from tests.hub_cards.report.running import make_results


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of results, by student."""
    return make_results(tmp_path_factory.mktemp("results"))


@pytest.fixture(scope="session")
def made(results: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their report."""
    folder = tmp_path_factory.mktemp("made") / "report"
    report([str(path) for path in results.values()], folder)
    return folder
