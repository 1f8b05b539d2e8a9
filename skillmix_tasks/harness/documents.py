"""Items as lm-eval takes a dataset."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, overload


class Documents(Sequence[dict[str, Any]]):
    """A dataset for lm-eval: each document is made when it is read, as a run may have very many."""

    def __init__(self, number: int, make: Callable[[int], dict[str, Any]]) -> None:
        self._number = number
        self._make = make

    @property
    def features(self) -> dict[str, Any]:
        """The first document, whose keys are the names of all fields."""
        return self[0]

    def __len__(self) -> int:
        return self._number

    @overload
    def __getitem__(self, index: int) -> dict[str, Any]: ...

    @overload
    def __getitem__(self, index: slice) -> list[dict[str, Any]]: ...

    def __getitem__(self, index: int | slice) -> dict[str, Any] | list[dict[str, Any]]:
        numbers = range(self._number)[index]
        return self._make(numbers) if isinstance(numbers, int) else [self._make(number) for number in numbers]
