"""The files of a push: what goes up under which path, and what is left out and why."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from grading import UserError
from hub_cards.key_scan import find_key


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


def refuse_keys(files: Iterable[File]) -> None:
    """Raise UserError if a file holds what looks like a key: what is pushed once stays in the history."""
    for file in files:
        found = find_key(file.source, file.path)
        if found is not None:
            raise UserError(
                f"{file.path} holds what looks like {found}: nothing was pushed. Take it out, and if it is a key "
                "that somebody may have seen, revoke it."
            )
