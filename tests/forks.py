"""Processes forked from one that has imported what commands import: the imports take most of a short run."""

from __future__ import annotations

import multiprocessing
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["__main__", "tests.warm"])


class Fork:
    """A process that calls `target` with `arguments` in `cwd`; what it writes is kept, as a pipe would keep it."""

    def __init__(
        self,
        target: Callable[..., Any],
        *arguments: Any,
        cwd: Path | None = None,
        env: Mapping[str, str] | None = None,
    ) -> None:
        self._output = [tempfile.NamedTemporaryFile("r", encoding="utf-8") for _ in range(2)]  # noqa: SIM115
        names = [file.name for file in self._output]
        self._process = FORKS.Process(
            target=_enter, args=(names, cwd or Path.cwd(), dict(env or os.environ), target, arguments)
        )
        self._process.start()

    def wait(self, timeout: float) -> subprocess.CompletedProcess[str]:
        """What it did; it is killed, and subprocess.TimeoutExpired raised, after `timeout` seconds."""
        self._process.join(timeout)
        if self.alive:
            self.kill()
            raise subprocess.TimeoutExpired(str(self._process), timeout, *self._read())
        assert self._process.exitcode is not None
        return subprocess.CompletedProcess(str(self._process), self._process.exitcode, *self._read())

    @property
    def alive(self) -> bool:
        """Whether it is at work still."""
        return self._process.is_alive()

    @property
    def pid(self) -> int:
        """Its number."""
        assert self._process.pid
        return int(self._process.pid)

    def kill(self) -> int:
        """End it at once, if it is not at its end; return its status."""
        self._process.kill()
        self._process.join()
        assert self._process.exitcode is not None
        return self._process.exitcode

    def interrupt(self) -> None:
        """Ctrl-C."""
        assert self._process.pid
        os.kill(self._process.pid, signal.SIGINT)

    def _read(self) -> list[str]:
        return [file.read() for file in self._output]


def _enter(
    names: list[str], cwd: Path, env: dict[str, str], target: Callable[..., Any], arguments: tuple[Any, ...]
) -> None:
    for number, name in enumerate(names, start=1):
        file = os.open(name, os.O_WRONLY)
        os.dup2(file, number)
        os.close(file)
    # As in a process of the user's own: else lm-eval's pools for a bootstrap start a server that imports all anew.
    multiprocessing.set_start_method("fork", force=True)
    os.chdir(cwd)
    os.environ.clear()
    os.environ.update(env)
    target(*arguments)


def skillmix(*arguments: str) -> None:
    """The command itself, in the process at hand."""
    import skillmix as command

    sys.argv = ["skillmix", *arguments]
    command.main()
