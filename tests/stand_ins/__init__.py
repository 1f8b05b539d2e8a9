"""Packages that stand in for others which need hardware of their own; this folder goes on the path."""

import sys
from pathlib import Path


def use() -> None:
    """Have imports find the packages here first."""
    sys.path.insert(0, str(Path(__file__).parent))
