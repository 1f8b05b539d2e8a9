"""The progress bar of a run: votes or texts done, share without a fault, tokens, dollars, time left."""

from __future__ import annotations

import sys
from typing import Self

from tqdm import tqdm

from grading.cost.stats import GradingStats
from grading.models.spec import ModelSpec
from grading.verdict import State

_SECONDS_IN_FILES = 30  # between two lines


class CallBar:
    """A tqdm bar over what `spec` gives; use as a context manager. `title` says what it does."""

    def __init__(self, title: str, spec: ModelSpec, stats: GradingStats, *, disable: bool) -> None:
        self._spec = spec
        self._stats = stats
        self._screen = sys.stderr.isatty()
        # Inside another bar, as of the parts of a run, it vanishes when it is done. A file gets few lines of it.
        self._bar = tqdm(
            total=0,
            desc=f"{title} with {spec.model}",
            unit=spec.product,
            disable=disable,
            leave=None,
            mininterval=0.1 if self._screen else _SECONDS_IN_FILES,
        )

    def expect(self, calls: int) -> None:
        self._bar.total = (self._bar.total or 0) + calls
        if self._screen:
            self._bar.refresh()

    def advance(self) -> None:
        """One more reply is known, and counted in the stats."""
        stats = self._stats
        seen = sum(stats.states.values())
        postfix = {
            "coverage": f"{stats.states[State.GRADED.value] / seen:.0%}",
            "tokens": stats.usage.prompt + stats.usage.completion,
        }
        if self._spec.price:
            postfix["dollars"] = f"{self._spec.price.dollars(stats.usage):.2f}"
        self._bar.set_postfix(postfix, refresh=False)
        self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._bar.close()
