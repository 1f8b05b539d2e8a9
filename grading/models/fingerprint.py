"""Identifies a model's weights cheaply, so that the same path with other weights is another model."""

from __future__ import annotations

import hashlib
import re
from pathlib import Path

from grading.errors import UserError

_HUB_ID = re.compile(r"[\w-][\w.-]*(/[\w-][\w.-]*)?")
_WEIGHTS = ("*.safetensors", "*.bin", "*.gguf", "*.pt", "*.pth")


def check_model_path(model: str) -> None:
    """Raise UserError if `model` is neither a directory with a model nor a possible Hub id."""
    path = Path(model)
    if path.exists():
        if not (path / "config.json").is_file():
            raise UserError(f"{model} holds no model: it has no config.json.")
    elif not _HUB_ID.fullmatch(model):
        raise UserError(f"There is no model directory {model}.")


def weights_fingerprint(model: str, revision: str | None = None) -> str:
    """A short hash for a directory (names, sizes and times of its weight files) or a Hub id (its revision).

    Reads no weights and asks no server. A Hub id that is not in the local cache gives "unresolved".
    """
    folder = Path(model)
    if folder.is_dir():
        stats = [(path.name, path.stat()) for pattern in _WEIGHTS for path in sorted(folder.glob(pattern))]
        content = repr([(name, stat.st_size, stat.st_mtime_ns) for name, stat in stats])
        return hashlib.sha256(content.encode()).hexdigest()[:16]
    return cached_commit(model, revision) or "unresolved"


def cached_commit(model: str, revision: str | None = None) -> str | None:
    """The commit of a Hub id at `revision` (None: main), as the local cache has it; None if it has none."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    try:
        config = try_to_load_from_cache(model, "config.json", revision=revision)
    except HFValidationError:
        return None
    # A cached file lies under snapshots/<commit>/.
    return Path(config).parent.name if isinstance(config, str) else None
