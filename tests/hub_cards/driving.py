"""The command itself, several times in one process: HF_ENDPOINT is read once, and torch takes long to import."""

from __future__ import annotations

import importlib
import io
import json
import subprocess
import sys
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_ROOT = Path(__file__).parents[2]


@dataclass
class Done:
    """What a command did; `status` is 0, or the sentence that it ended with."""

    status: int | str | None
    out: str
    err: str

    @property
    def json(self) -> Any:
        assert not self.status, self
        return json.loads(self.out.splitlines()[-1])


def skillmix(*arguments: object) -> Done:
    """Run one command in this process."""
    import skillmix as command

    importlib.reload(command)  # its `main` mounts the commands, once in each process
    out, err = io.StringIO(), io.StringIO()
    status: int | str | None = 0
    with redirect_stdout(out), redirect_stderr(err):
        sys.argv = ["skillmix", *map(str, arguments)]
        try:
            command.main()
        except SystemExit as end:
            status = end.code
    return Done(status, out.getvalue(), err.getvalue())


def drive(
    script: str,
    env: dict[str, str],
    cwd: Path,
    *arguments: str,
    package: str = "hub_cards",
    timeout: float = 300,
) -> Any:
    """Run the script tests/PACKAGE/SCRIPT.py in a process of its own and return what it prints last, as JSON."""
    done = subprocess.run(
        [sys.executable, "-m", f"tests.{package}.{script}", *arguments],
        env=env | {"PYTHONPATH": str(_ROOT)},
        cwd=cwd,
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-6000:]
    return json.loads(done.stdout.splitlines()[-1])
