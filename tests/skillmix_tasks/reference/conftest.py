"""The checkouts that these tests read: one made here, and the real one where it lies beside the repository."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.skillmix_tasks.checks.reference import folder
from tests.skillmix_tasks.reference.made import make_checkout


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkout made here; not to be changed."""
    return make_checkout(tmp_path_factory.mktemp("reference") / "checkout")


@pytest.fixture(params=["made", "real"])
def checkout(request: pytest.FixtureRequest, made: Path) -> Path:
    """Each of the two; not to be changed."""
    return made if request.param == "made" else folder()
