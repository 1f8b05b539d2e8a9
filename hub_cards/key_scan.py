"""Looks for keys in what is about to be published: known forms, and the very keys of this machine."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from grading.bounds import open_file

# What a key is, the texts in lower case one of which it begins with, and its form. To look for beginnings first
# is ten times as fast.
_FORMS = (
    ("a Hugging Face token", (b"hf_",), rb"\bhf_[A-Za-z0-9]{30,}"),
    ("an Anthropic key", (b"sk-ant-",), rb"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("an OpenAI key", (b"sk-",), rb"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}"),
    ("a Google key", (b"aiza",), rb"\bAIza[A-Za-z0-9_-]{35}"),
    ("an AWS key", (b"akia", b"asia"), rb"\b(?:AKIA|ASIA)[A-Z0-9]{16}\b"),
    ("a GitHub token", (b"ghp_", b"gho_", b"ghu_", b"ghs_", b"ghr_"), rb"\bgh[pousr]_[A-Za-z0-9]{36}"),
    ("a GitHub token", (b"github_pat_",), rb"\bgithub_pat_[A-Za-z0-9_]{40,}"),
    ("a Weights & Biases key", (b"wandb",), rb"(?i:wandb[a-z_]*key)\W{1,4}[0-9a-f]{40}\b"),
    ("a private key", (b"-----begin ",), rb"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    ("a bearer token", (b"authorization",), rb"(?i:authorization\W{1,5}bearer) [A-Za-z0-9._~+/-]{16,}"),
)
_NAMED = re.compile(r"(^|_)(TOKEN|KEY|SECRET|PASSWORD)$")
_SHORTEST = 12  # characters; a shorter value of a variable is a placeholder, and may be a word of any text
_CHUNK = 2**24
_MOST_HEADER = 100_000_000  # bytes
_OVERLAP = 512  # more than the longest form that is looked for


def find_key(source: Path | bytes, name: str) -> str | None:
    """What the content looks to hold, in words ("an OpenAI key"), or None.

    Parquet is read as its texts, and of safetensors the header: what follows are numbers.
    """
    if name.endswith(".parquet"):
        chunks = _texts(source)
    elif name.endswith(".safetensors") and isinstance(source, Path):
        chunks = iter([_header(source)])
    else:
        chunks = iter([source]) if isinstance(source, bytes) else _read(source)
    return next((found for chunk in chunks if (found := _search(chunk)) is not None), None)


def _search(chunk: bytes) -> str | None:
    for what, value in _own_keys():
        if value in chunk:
            return what
    lower = chunk.lower()
    for what, beginnings, form in _FORMS:
        for beginning in beginnings:
            place = lower.find(beginning)
            while place >= 0:
                if re.compile(form).match(chunk, place):
                    return what
                place = lower.find(beginning, place + 1)
    return None


@cache
def _own_keys() -> list[tuple[str, bytes]]:
    """The values of this process's variables that are named like keys, and the token of the Hub's login."""
    from huggingface_hub import get_token

    own = [
        (f"the value of {name}", value.encode())
        for name, value in os.environ.items()
        if _NAMED.search(name.upper()) and len(value) >= _SHORTEST
    ]
    token = get_token()
    return [*own, *([("your Hub token", token.encode())] if token else [])]


def _read(path: Path) -> Iterator[bytes]:
    with open_file(path) as file:
        tail = b""
        while chunk := file.read(_CHUNK):
            yield tail + chunk
            tail = chunk[-_OVERLAP:]


def _header(path: Path) -> bytes:
    with open_file(path) as file:
        # safetensors itself reads no longer one.
        return file.read(min(int.from_bytes(file.read(8), "little"), _MOST_HEADER))


def _texts(source: Path | bytes) -> Iterator[bytes]:
    """The rows of a Parquet file as text: its pages are compressed."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    with pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source) as file:
        for batch in file.iter_batches(batch_size=1000):
            yield repr(batch.to_pylist()).encode(errors="replace")
