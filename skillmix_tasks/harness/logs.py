"""Shows our log beside lm-eval's own, and hides messages that are useless to a user."""

from __future__ import annotations

import io
import logging
import subprocess
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stdout
from functools import partial
from typing import Any

from grading.keys import redact_logs


def show_our_logs() -> None:
    """Hang our loggers under lm-eval's, which alone gets a handler and a level from its command line.

    No record shows a key from then on, whoever logs it. Warnings about names that transformers will change are
    hidden: only the libraries that use the names can heed them.
    """
    redact_logs()
    warnings.filterwarnings("ignore", category=FutureWarning, module="transformers")
    for name in ("grading", "skillmix_tasks", "training"):
        logging.getLogger(name).parent = logging.getLogger("lm_eval")


@contextmanager
def replaced(owner: Any, name: str, value: Any) -> Iterator[None]:
    """Give `owner` another attribute `name` for a while."""
    before = getattr(owner, name)
    setattr(owner, name, value)
    try:
        yield
    finally:
        setattr(owner, name, before)


@contextmanager
def no_loading_bars() -> Iterator[None]:
    """Let transformers read and write weights without progress bars."""
    from transformers.utils import logging as transformers_logging

    bars: Any = transformers_logging  # which is not typed
    shown = bars.is_progress_bar_enabled()
    bars.disable_progress_bar()
    try:
        yield
    finally:
        if shown:
            bars.enable_progress_bar()


@contextmanager
def quiet_git() -> Iterator[None]:
    """Silence git's complaint outside a repository, where lm-eval asks it for the commit anyway."""
    import lm_eval.evaluator

    ask = lm_eval.evaluator.get_git_commit_hash

    def commit() -> Any:
        check_output = partial(subprocess.check_output, stderr=subprocess.DEVNULL)
        with replaced(subprocess, "check_output", check_output):
            return ask()

    with replaced(lm_eval.evaluator, "get_git_commit_hash", commit):
        yield


@contextmanager
def quiet_lm_eval() -> Iterator[None]:
    """Silence lm-eval's routine messages, on stdout too; its warnings stay."""
    import lm_eval.api.task
    import tqdm

    loggers = [logging.getLogger(f"lm_eval.{name}") for name in ("evaluator", "evaluator_utils", "api.task")]
    no_bar = partial(tqdm.tqdm, disable=True)
    with ExitStack() as stack:
        for logger in loggers:
            stack.callback(logger.setLevel, logger.level)
            logger.setLevel(logging.WARNING)
        stack.enter_context(quiet_git())
        stack.enter_context(redirect_stdout(io.StringIO()))
        stack.enter_context(replaced(lm_eval.api.task, "tqdm", no_bar))  # of building contexts
        yield
