"""What can be known to fail, or has to be said, before anything is generated."""

from __future__ import annotations

import logging
from functools import cache

from grading import JudgeSpec, UserError
from grading.home import verdict_store
from grading.opening import open_backend

logger = logging.getLogger(__name__)


def refuse_chat_api(*names: str) -> None:
    """Raise UserError if a name is a chat model class of lm-eval's or a chat endpoint's address.

    For a student that is to be asked without a chat template.
    """
    ends = ("chat-completions", "/chat/completions")
    if any(name.partition("?")[0].rstrip("/").endswith(ends) for name in names):
        raise UserError("A chat endpoint takes no plain text: add --apply_chat_template.")


@cache
def check_judges(judges: tuple[JudgeSpec, ...], *, batch: bool = False) -> None:
    """Raise UserError, in one sentence, if a judge cannot answer; asked once for each panel."""
    for judge in judges:
        open_backend(judge, concurrency=1, batches=verdict_store() if batch else None).check()


@cache
def warn_of_one_turn() -> None:
    """Say what a run without a chat template is not; once."""
    logger.warning(
        "Without --apply_chat_template the task has a single turn that states the sentence limit; its scores "
        "are not comparable with two turns. The results say `turns: 1`."
    )
