"""One set of real results, and the report of it, for all tests of this folder."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from filelock import FileLock

from hub_cards.report.cli import report
from tests.hub_cards.report.running import make_results


@pytest.fixture(scope="session")
def results(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """The folders of results, by student; the first of pytest's workers makes them for all."""
    common = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        common = common.parent
    made = common / "results.json"
    with FileLock(common / "results.lock"):
        if not made.exists():
            folders = make_results(tmp_path_factory.mktemp("results"))
            made.write_text(json.dumps({student: str(folder) for student, folder in folders.items()}))
    return {student: Path(folder) for student, folder in json.loads(made.read_text()).items()}


@pytest.fixture(scope="session")
def made(results: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of their report."""
    folder = tmp_path_factory.mktemp("made") / "report"
    report([str(path) for path in results.values()], folder)
    return folder
