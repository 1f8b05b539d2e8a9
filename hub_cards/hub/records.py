"""Reads a run's records in its folder."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from grading import UserError
from grading.safety.bounds import load_json, read_text
from hub_cards.hub.files import open_within


def read_record(path: Path, made_by: str, *, within: Path | None = None) -> dict[str, Any]:
    """The JSON object in a file; UserError says which command makes it, or that a link leads out of `within`."""
    try:
        source = path if within is None or not path.exists() else open_within(within, path)
        record = load_json(read_text(source))
    except FileNotFoundError as error:
        raise UserError(f"There is no {path}: name a folder that {made_by} made.") from error
    except (OSError, ValueError) as error:
        raise UserError(f"{path} cannot be read ({error}): name a folder that {made_by} made.") from error
    if not isinstance(record, dict):
        raise UserError(f"{path} is not a record of {made_by}.")
    return record


def json_file(value: Any) -> bytes:
    """A JSON value as the content of a file, in its own order."""
    return (json.dumps(value, indent=1, ensure_ascii=False) + "\n").encode()
