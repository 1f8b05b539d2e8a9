"""Fixtures of several files of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.training.tuning import TrainServer


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TrainServer]:
    """A process that trains, so that its imports are paid for once in a file of tests."""
    started = TrainServer(tmp_path_factory.mktemp("server"))
    yield started
    started.close()
