"""The plan of a push: the files that the repository will hold, whatever it holds now."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from grading import UserError
from hub_cards.hub.files import File, LeftOut

CARD = "README.md"
Kind = Literal["dataset", "model", "space"]


@dataclass(frozen=True)
class Remote:
    """The repository as it is: its newest commit and the paths of its files; None and none before it is made.

    `fetch` brings one of the files here.
    """

    commit: str | None = None
    private: bool = True
    files: tuple[str, ...] = ()
    fetch: Callable[[str], Path] = Path


@dataclass(frozen=True)
class Publication:
    """The content of a push. `others` are the paths of files that belong to other pushes, and stay as they are.

    `card` is empty where the repository keeps its own. `notes` are sentences on facts that are not in the files.
    """

    card: str
    files: tuple[File, ...]
    left_out: tuple[LeftOut, ...] = ()
    others: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def all_files(self) -> tuple[File, ...]:
        """The files with the card, which is the first."""
        if not self.card:
            return self.files
        return (File(CARD, self.card.encode()), *self.files)

    def stale(self, remote: Remote) -> list[str]:
        """The files of an earlier push that this one does not have."""
        planned = {file.path for file in self.all_files} | {".gitattributes", *self.others}
        return [path for path in remote.files if path not in planned]

    def text(self) -> str:
        """The output of a dry run: each file with its size, the files left out, and the card."""
        lines = [f"{file.size:>14,}  {file.path}" for file in self.all_files]
        lines.append(f"{sum(file.size for file in self.all_files):>14,}  bytes in {len(lines)} files")
        lines += [f"      left out  {one.path} ({one.reason})" for one in self.left_out]
        return "\n".join([*lines, *self.notes, *(["", self.card] if self.card else [])])

    def record(self) -> dict[str, Any]:
        return {
            "files": {file.path: file.size for file in self.all_files},
            "left_out": {one.path: one.reason for one in self.left_out},
            "card": self.card,
            "notes": list(self.notes),
        }


@dataclass(frozen=True)
class Target:
    """The target of a push: the repository, the kind of its card, and who may see it.

    With `must_exist` it is not made, for the push adds to what is there. With `pull_request` the push adds
    files to a repository of anybody, in a pull request and not in a commit to its main branch.
    """

    repo: str
    kind: Kind
    mark: str
    public: bool = False
    must_exist: bool = False
    pull_request: bool = False

    def __post_init__(self) -> None:
        if self.repo.count("/") != 1:
            raise UserError(f"{self.repo!r} is not the name of a repository: type ORG/NAME.")
