"""A run's records without the facts of a machine: paths cut to names, addresses and keys left out."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

from grading.keys import KEY_NAME

_ADDRESS = re.compile(r"(^|_)(url|base_url|endpoint_url|host|hostname|proxy|address)$", re.IGNORECASE)
# Not "/no_think": a system prompt may be one word behind a slash.
_LOCAL = re.compile(r"(/[^/\n]+/|~/|\.\.?/|[A-Za-z]:[\\/])[^\n]+")
_URL = re.compile(r"[a-z][a-z0-9+.-]*://", re.IGNORECASE)


def is_local(text: str) -> bool:
    """Whether a text is a path of this machine, by its form."""
    return _LOCAL.fullmatch(text) is not None


def public_name(text: str) -> str:
    """The last part of a path; any other text as it is."""
    if not is_local(text):
        return text
    kind = PureWindowsPath if "\\" in text else PurePosixPath
    return kind(text).name


def scrub(value: Any) -> Any:
    """A copy of a JSON value without entries named like keys or addresses, and with paths cut to names."""
    if isinstance(value, dict):
        return {
            key: scrub(one)
            for key, one in value.items()
            if not (isinstance(key, str) and (KEY_NAME.search(key) or _ADDRESS.search(key)))
        }
    if isinstance(value, list | tuple):
        return [scrub(one) for one in value]
    return public_name(value) if isinstance(value, str) else value


def local_paths(value: Any) -> Iterator[str]:
    """All texts in a JSON value that are paths of this machine."""
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list | tuple):
        for one in value:
            yield from local_paths(one)
    elif isinstance(value, str) and is_local(value):
        yield value


def without_paths(file: Path, paths: Iterable[str]) -> Path | bytes:
    """The file, or its text with these paths, as they are or as JSON writes them, cut to names."""
    found = sorted(set(paths), key=len, reverse=True)
    if not found:
        return file
    text = file.read_text(encoding="utf-8")
    for path in found:
        text = text.replace(path, public_name(path)).replace(json.dumps(path)[1:-1], public_name(path))
    return text.encode()


# The arguments of lm-eval's models that identify the model and its settings.
_ARGUMENTS = (
    "pretrained", "model", "revision", "subfolder", "peft", "delta", "tokenizer", "gguf_file", "dtype",
    "add_bos_token", "max_length", "load_in_4bit", "load_in_8bit", "quantization", "enable_thinking",
)  # fmt: skip


def scrub_model_args(given: Any) -> dict[str, Any]:
    """lm-eval's `model_args`, as text or mapping, without addresses, headers, keys and unknown arguments."""
    if isinstance(given, str):
        parts = (part.partition("=") for part in given.split(","))
        given = {name.strip(): text.strip() for name, _, text in parts}
    kept = {name: given[name] for name in _ARGUMENTS if name in (given or {})}
    return {
        name: public_name(value) if isinstance(value, str) else value
        for name, value in kept.items()
        if not (isinstance(value, str) and _URL.match(value))
    }
