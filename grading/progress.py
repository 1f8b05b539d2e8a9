"""The progress bar of a grading run: votes done, share with a verdict, tokens, dollars, time left."""

from __future__ import annotations

from types import TracebackType
from typing import TYPE_CHECKING, Self

from tqdm import tqdm

from grading.judge import JudgeSpec
from grading.verdict import State

if TYPE_CHECKING:
    from grading.stats import GradingStats


class VoteBar:
    """A tqdm bar over votes; use as a context manager."""

    def __init__(self, judge: JudgeSpec, stats: GradingStats, *, disable: bool) -> None:
        self._judge = judge
        self._stats = stats
        # Inside another bar, as of the parts of a run, it vanishes when it is done.
        self._bar = tqdm(total=0, desc=f"Judging with {judge.model}", unit="vote", disable=disable, leave=None)

    def expect(self, votes: int) -> None:
        """Raise the total by `votes`."""
        self._bar.total = (self._bar.total or 0) + votes
        self._bar.refresh()

    def advance(self) -> None:
        """One more vote is known."""
        stats = self._stats
        seen = sum(stats.states.values())
        postfix = {
            "coverage": f"{stats.states[State.GRADED.value] / seen:.0%}",
            "tokens": stats.usage.prompt + stats.usage.completion,
        }
        if self._judge.price:
            postfix["dollars"] = f"{self._judge.price.dollars(stats.usage):.2f}"
        self._bar.set_postfix(postfix, refresh=False)
        self._bar.update()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bar.close()
