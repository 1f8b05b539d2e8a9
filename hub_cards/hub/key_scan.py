"""Looks for keys before a push: known forms, and the keys of this machine."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from huggingface_hub import get_token

from grading.keys import key_form, key_variables
from grading.safety.bounds import open_file

_SHORTEST = 12  # characters; a shorter value of a variable is a placeholder, and may be a word of any text
_CHUNK = 2**24
_MOST_HEADER = 100_000_000  # bytes
_OVERLAP = 512  # more than the longest form that is looked for


def find_key(source: Path | bytes, name: str) -> str | None:
    """The kind of key that the content seems to hold, in words ("an OpenAI key"), or None.

    Parquet is read as its texts, and of safetensors the header: the rest are numbers.
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
    return key_form(chunk)


@cache
def _own_keys() -> list[tuple[str, bytes]]:
    """The values of this process's variables that are named like keys, and the token of the Hub's login."""
    own = [
        (f"the value of {name}", value.encode())
        for name, value in key_variables().items()
        if len(value) >= _SHORTEST
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
    with pq.ParquetFile(pa.BufferReader(source) if isinstance(source, bytes) else source) as file:
        for batch in file.iter_batches(batch_size=1000):
            yield repr(batch.to_pylist()).encode(errors="replace")
