"""A process that has imported torch and TRL once, and runs the command `skillmix` in forks of itself.

Reads a line of JSON for each request: {"argv": [...], "env": {...}, "output": PATH} starts one and answers with
its process id; {"wait": PID} answers with its exit status (negative: the signal that killed it).
"""

from __future__ import annotations

import json
import os
import sys
from typing import Any

import lm_eval.utils  # noqa: F401
import transformers.models.llama.modeling_llama  # noqa: F401

import skillmix
import training.tune.sft
import training.tune.train  # noqa: F401


def run(request: dict[str, Any]) -> None:
    output = os.open(request["output"], os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(output, 1)
    os.dup2(output, 2)
    os.environ.update(request["env"])
    sys.argv = ["skillmix", *request["argv"]]
    try:
        skillmix.main()
    except SystemExit as end:
        if isinstance(end.code, str):
            sys.stderr.write(f"{end.code}\n")
        status = end.code if isinstance(end.code, int) else int(end.code is not None)
    else:
        status = 0
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def say(answer: object) -> None:
    sys.stdout.write(f"{answer}\n")
    sys.stdout.flush()


def main() -> None:
    say("ready")
    for line in sys.stdin:
        request = json.loads(line)
        if "wait" in request:
            say(os.waitstatus_to_exitcode(os.waitpid(request["wait"], 0)[1]))
            continue
        child = os.fork()
        if child == 0:
            run(request)
        say(child)


if __name__ == "__main__":
    main()
