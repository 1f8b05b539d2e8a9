"""The files of a push with their paths, and the files that are left out, with reasons."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path, PosixPath
from typing import BinaryIO

from grading import UserError
from hub_cards.hub.key_scan import find_key

_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_FILE = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK  # a pipe does not block it
_DESCRIPTORS = Path("/proc/self/fd")


@dataclass(frozen=True)
class File:
    """A file of the repository: its path there, and a file here or the content itself."""

    path: str
    source: Path | bytes

    @property
    def size(self) -> int:
        """Bytes."""
        return len(self.source) if isinstance(self.source, bytes) else self.source.stat().st_size


@dataclass(frozen=True)
class LeftOut:
    """A file here that does not go up, and the reason in words."""

    path: str
    reason: str


def files_of(folder: Path) -> Iterator[tuple[str, Path]]:
    """The files under `folder`, sorted, with their paths in it; UserError if there is no such folder."""
    if not folder.is_dir():
        raise UserError(f"There is no folder {folder}.")
    for path in sorted(folder.rglob("*")):
        if path.is_file():
            yield path.relative_to(folder).as_posix(), path


class _Held(PosixPath):
    """A path by which an open file is read, and that keeps it open."""

    file: BinaryIO


def open_within(root: Path, path: Path) -> Path:
    """A path that reads the file which `path` is now, even if a link or another file takes its place later.

    A link may lead to another place in the folder `root`. Raises UserError if it leads out of it, or `path` is not
    a regular file. Where there is no /proc, as on macOS, the path is checked and not held open.
    """
    try:
        real, home = Path(os.path.realpath(path)), Path(os.path.realpath(root))
        if not real.is_relative_to(home):
            raise UserError(
                f"{path} leads out of {root}, to {real}: nothing was pushed. Copy the file to where the link is, "
                "or remove the link."
            )
        place = _open(home, real.relative_to(home).parts)
    except OSError as error:
        raise UserError(f"{path} cannot be read ({error.strerror}): nothing was pushed.") from error
    if not stat.S_ISREG(os.fstat(place).st_mode):
        os.close(place)
        raise UserError(f"{path} is not a regular file: nothing was pushed.")
    file = os.fdopen(place, "rb")
    if not _DESCRIPTORS.is_dir():
        return real
    held = _Held(_DESCRIPTORS / str(place))
    held.file = file
    return held


def _open(home: Path, parts: tuple[str, ...]) -> int:
    """Open a file folder by folder, none of which may be a link by now; its descriptor."""
    folder = os.open(home, _FOLDER)
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(parts[-1] if parts else ".", _FILE, dir_fd=folder)
    finally:
        os.close(folder)


def refuse_keys(files: Iterable[File]) -> None:
    """Raise UserError if a file seems to hold a key: a pushed key stays in the history."""
    for file in files:
        found = find_key(file.source, file.path)
        if found is not None:
            raise UserError(
                f"{file.path} seems to hold {found}: nothing was pushed. Remove the key, and revoke it if "
                "somebody may have seen it."
            )
