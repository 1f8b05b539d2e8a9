"""When a provider stops serving a judge: a warning before that day, a refusal after it."""

from __future__ import annotations

import datetime
import logging

from grading.errors import UserError

WARN_DAYS = 60

logger = logging.getLogger(__name__)


def days_left(shutdown: datetime.date) -> int:
    """Days from today until `shutdown`; negative once it has passed."""
    return (shutdown - datetime.date.today()).days


def check_shutdown(model: str, shutdown: datetime.date | None) -> None:
    """Warn if `model` is shut down in less than WARN_DAYS days; raise UserError if it was."""
    if shutdown is None:
        return
    days = days_left(shutdown)
    if days < 0:
        raise UserError(
            f"The judge {model} was shut down on {shutdown}: name another one with SKILLMIX_JUDGE_MODEL or the "
            "setting `judge`; `skillmix judges` lists those that are known."
        )
    if days < WARN_DAYS:
        logger.warning(
            "The judge %s is shut down on %s, in %d days: after that it cannot judge, and scores of another "
            "judge are not comparable.",
            model,
            shutdown,
            days,
        )
