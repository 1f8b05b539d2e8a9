"""Where this package keeps what must outlive a run."""

from __future__ import annotations

import os
from pathlib import Path


def home() -> Path:
    """The folder of answers and verdicts: SKILLMIX_HOME, or .skillmix in the user's home."""
    return Path(os.environ.get("SKILLMIX_HOME") or Path.home() / ".skillmix")


def verdict_store() -> Path:
    """The file of the verdict store."""
    return home() / "verdicts.sqlite"
