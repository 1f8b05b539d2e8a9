"""The mark `whole` of a complete checkpoint or model: the size and SHA-256 of every file beside it.

    {"files": {"model.safetensors": {"bytes": 538090408, "sha256": "9f86d0..."}, ...}}

It is written last, when all other files are on the disk. An empty mark is that of an earlier release.
"""

from __future__ import annotations

import hashlib
import json
import zipfile
from pathlib import Path

from pydantic import BaseModel, ValidationError
from safetensors import SafetensorError, safe_open

from grading import UserError
from grading.safety.atomic import sync, sync_all, write_atomic

MARK = "whole"
_PARTS = ("*.safetensors", "optimizer*", "scheduler*", "rng_state*", "trainer_state.json")  # of a checkpoint


class _Sum(BaseModel):
    bytes: int
    sha256: str


class _Mark(BaseModel):
    files: dict[str, _Sum]


def mark_complete(folder: Path) -> None:
    """Wait until `folder` is on the disk, then write its mark; reads every file once (1 to 2 GB a second)."""
    sync_all(folder)
    files = {
        path.relative_to(folder).as_posix(): _Sum(bytes=path.stat().st_size, sha256=_sha256(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path != folder / MARK
    }
    write_atomic(folder / MARK, _Mark(files=files).model_dump_json(indent=1) + "\n")
    sync(folder.parent)


def is_complete(folder: Path) -> bool:
    """Whether `folder` has the mark of a complete checkpoint or model."""
    return (folder / MARK).is_file()


def find_damage(folder: Path) -> str | None:
    """The damage of a marked folder, such as "optimizer.pt is missing"; None if it is as it was saved.

    A checkpoint with an empty mark is checked for missing and shortened files only.
    """
    try:
        content = (folder / MARK).read_bytes()
        return _differing(folder, _Mark.model_validate_json(content)) if content else _broken(folder)
    except ValidationError:
        return f"its mark {MARK} cannot be read"
    except OSError as error:
        return f"{Path(error.filename or folder).name} cannot be read: {error.strerror}"


def check_model(folder: Path) -> None:
    """Raise UserError if the model of a run is not as it was saved; one without a mark is not checked."""
    if is_complete(folder) and (damage := find_damage(folder)):
        raise UserError(
            f"{folder} is damaged ({damage}): run its `skillmix train` command again, with --merge for a merged "
            "model. It makes the model again from the last checkpoint."
        )


def _differing(folder: Path, mark: _Mark) -> str | None:
    for name, saved in mark.files.items():
        path = folder / name
        if not path.is_file():
            return f"{name} is missing"
        if (size := path.stat().st_size) != saved.bytes:
            return f"{name} has {size:,} bytes, and had {saved.bytes:,}"
    # Sizes first: they cost nothing.
    return next(
        (
            f"{name} has other bytes than were saved"
            for name, saved in mark.files.items()
            if _sha256(folder / name) != saved.sha256
        ),
        None,
    )


def _broken(folder: Path) -> str | None:
    """The damage of a checkpoint, as far as its files show."""
    for pattern in _PARTS:
        if not any(folder.glob(pattern)):
            return f"{pattern} is missing"
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and path.name != MARK):
        if not _opens(path):
            return f"{path.relative_to(folder)} is cut short"
    return None


def _opens(path: Path) -> bool:
    try:
        if path.suffix == ".safetensors":
            with safe_open(path, framework="numpy"):
                return True
        if path.suffix in (".pt", ".pth", ".bin"):  # torch's form, a ZIP file
            with zipfile.ZipFile(path) as parts:
                return parts.testzip() is None
        if path.suffix == ".json":
            json.loads(path.read_bytes())
    except (SafetensorError, zipfile.BadZipFile, ValueError):
        return False
    return path.stat().st_size > 0


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
