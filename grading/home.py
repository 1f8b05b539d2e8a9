"""Where this package keeps what must outlive a run."""

from __future__ import annotations

import hashlib
import logging
import os
from pathlib import Path

logger = logging.getLogger(__name__)


def home() -> Path:
    """The folder of answers and verdicts: SKILLMIX_HOME, or .skillmix in the user's home."""
    return Path(os.environ.get("SKILLMIX_HOME") or Path.home() / ".skillmix")


def verdict_store() -> Path:
    """The file of the verdict store."""
    return home() / "verdicts.sqlite"


def remember_own(record: bytes) -> None:
    """Note that a run of this user wrote `record`, so that what it names is followed later; see `is_own`."""
    mark = _mark(record)
    try:
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()
    except OSError as error:
        logger.warning(
            "%s cannot be written (%s): later commands will not know this run's files as yours, and ask for "
            "--trust-file.",
            mark.parent,
            error.strerror,
        )


def is_own(record: bytes) -> bool:
    """Whether a run with this folder of answers and verdicts wrote `record`, byte for byte."""
    return _mark(record).is_file()


def _mark(record: bytes) -> Path:
    return home() / "own" / hashlib.sha256(record.strip()).hexdigest()
