"""Files that appear complete or not at all: after a full disk or a kill, the earlier content is still there."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A draft in the folder of `path`, to be written in the block; it replaces `path` once it is on the disk.

    If the block fails, `path` stays as it was and the draft is removed. A device or a pipe has no draft: it is
    written to as it is. Raises OSError if the disk refuses.
    """
    if path.exists() and not path.is_file():
        yield path
        return
    draft = path.with_name(f".{path.name}.part")  # one name, so that kills leave one draft at most
    try:
        yield draft
        sync(draft)
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)
    sync(path.parent)


def write_atomic(path: Path, content: str | bytes) -> None:
    """Write `content`, text as UTF-8, to `path`; raises OSError, with `path` as it was, if the disk refuses."""
    with atomic_file(path) as draft:
        draft.write_bytes(content.encode() if isinstance(content, str) else content)


def sync(path: Path) -> None:
    """Wait until a file's content, or the names in a folder, are on the disk."""
    place = os.open(path, os.O_RDONLY)
    try:
        os.fsync(place)
    finally:
        os.close(place)


def sync_all(folder: Path) -> None:
    """Wait until a folder with all that is below it is on the disk."""
    for path in folder.rglob("*"):
        sync(path)
    sync(folder)
