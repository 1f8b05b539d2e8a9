"""Packages that stand in for others which need hardware of their own; this folder goes on the path."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_WITH_THEM = "lm_eval.models.vllm_causallms"


@contextmanager
def used() -> Iterator[None]:
    """Have imports find the packages here; afterwards nobody finds them, nor what was imported with them."""
    folder = str(Path(__file__).parent)
    sys.path.insert(0, folder)
    try:
        yield
    finally:
        sys.path.remove(folder)
        for name in [one for one in sys.modules if one.partition(".")[0] == "vllm" or one == _WITH_THEM]:
            del sys.modules[name]
