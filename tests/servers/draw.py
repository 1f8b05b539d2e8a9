"""Chance without state: what a server "draws" depends on nothing but what it is asked."""

from __future__ import annotations

import hashlib
import json


def digest(*parts: object) -> str:
    """A hex digest of JSON-like values; the order of an object's keys does not count."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode("ascii")).hexdigest()


def fraction(*parts: object) -> float:
    """A number in [0, 1), spread evenly over different `parts`."""
    return int(digest(*parts)[:13], 16) / 16**13
