"""What our packages log appears where lm-eval's own log does."""

from __future__ import annotations

import logging

from grading.keys import redact_logs


def show_our_logs() -> None:
    """Hang our loggers under lm-eval's, which alone gets a handler and a level from its command line.

    No record shows a key from then on, whoever logs it.
    """
    redact_logs()
    for name in ("grading", "skillmix_tasks", "training"):
        logging.getLogger(name).parent = logging.getLogger("lm_eval")
