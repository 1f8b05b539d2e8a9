"""What the loopback Hub stores: repositories with their commits, and large files by their hash."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass, field

GITATTRIBUTES = (
    b"*.parquet filter=lfs diff=lfs merge=lfs -text\n*.safetensors filter=lfs diff=lfs merge=lfs -text\n"
)
_LFS_ENDINGS = (".parquet", ".safetensors", ".bin", ".png", ".pt", ".gguf")


@dataclass(frozen=True)
class Blob:
    """A file's content; a large one is known by its SHA-256, and any other by its git hash."""

    content: bytes
    large: bool

    @property
    def oid(self) -> str:
        if self.large:
            return hashlib.sha256(self.content).hexdigest()
        return hashlib.sha1(b"blob %d\0" % len(self.content) + self.content).hexdigest()


@dataclass(frozen=True)
class Commit:
    oid: str
    title: str
    files: dict[str, Blob]


@dataclass
class Repo:
    """One repository on its only branch, main, oldest commit first."""

    kind: str
    id: str
    private: bool
    sdk: str | None = None
    commits: list[Commit] = field(default_factory=list)
    requests: dict[int, Commit] = field(default_factory=dict)
    """Open pull requests, by number."""

    def __post_init__(self) -> None:
        self.commit("initial commit", {".gitattributes": Blob(GITATTRIBUTES, large=False)})

    @property
    def head(self) -> Commit:
        return self.commits[-1]

    def commit(self, title: str, files: dict[str, Blob]) -> Commit:
        parent = self.head.oid if self.commits else ""
        listed = "".join(f"{path}:{blob.oid}\n" for path, blob in sorted(files.items()))
        content = f"{self.kind} {self.id} {parent} {len(self.commits)} {title}\n{listed}"
        self.commits.append(Commit(hashlib.sha1(content.encode()).hexdigest(), title, files))
        return self.head

    def ask(self, title: str, files: dict[str, Blob]) -> int:
        """Open a pull request; its number."""
        number = len(self.requests) + 1
        made = self.commit(title, files)
        self.commits.pop()
        self.requests[number] = made
        return number

    def at(self, revision: str) -> Commit | None:
        """The commit of a branch's name or of (the first digits of) a hash."""
        if revision in ("main", "refs/heads/main", "HEAD"):
            return self.head
        if revision.startswith("refs/pr/"):
            return self.requests.get(int(revision.removeprefix("refs/pr/")))
        found = (commit for commit in self.commits if len(revision) >= 7 and commit.oid.startswith(revision))
        return next(found, None)


def is_large(path: str, size: int) -> bool:
    """Whether a file goes through LFS: by its ending, as .gitattributes says, or by its size."""
    return path.endswith(_LFS_ENDINGS) or size > 10 * 2**20
