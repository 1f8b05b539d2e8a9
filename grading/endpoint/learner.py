"""Finds the parameters that one endpoint accepts, by trying: for judges, teachers and students alike."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable, Sequence
from typing import ClassVar, Final

from grading.endpoint.errors import StatusError

MOST_WASTED: Final = 5  # requests that may be refused until a run ends
_SUSPECT: Final = frozenset({400, 404, 405, 415, 422, 500, 501})  # statuses with which a parameter is refused


class Learner(ABC):
    """The optional parts of requests to one endpoint; `refused` are the parts that they leave out.

    A refusal that names a part is followed by a request without it. One that names none is followed by guesses in
    the order of `_steps`, until one is accepted; each later request then tries to restore one of its parts.
    `votes` is the number of replies that a request asks for.
    """

    likely: ClassVar[Sequence[str]] = ()  # the parts that are refused most often, the likeliest first
    never_guessed: ClassVar[frozenset[str]] = frozenset()  # parts that are left out only if an error names them

    def __init__(self, refused: Iterable[str] = ()) -> None:
        self.refused = frozenset(refused)
        self._accepted: set[str] = set()  # the parts of accepted requests
        self._before: frozenset[str] | None = None  # the refused parts before a successful guess
        self._wanted: list[frozenset[str]] = []  # smaller sets of parts to leave out, if these are enough
        self._guesses: list[frozenset[str]] | None = None
        self._failed: list[frozenset[str]] = []  # guesses that were refused
        self._innocent = False  # the server fails also without all that is optional

    @abstractmethod
    def _parts(self, without: frozenset[str], votes: int) -> frozenset[str]:
        """The optional parts that a request has."""

    @abstractmethod
    def _named(self, error: StatusError, without: frozenset[str], votes: int) -> str | None:
        """The part of the request that the error is about, if it names one."""

    @abstractmethod
    def _steps(self, unknown: frozenset[str], status: int) -> list[frozenset[str]]:
        """The parts to leave out in turn, of those that no accepted request had."""

    def _less(self, refused: frozenset[str], name: str) -> frozenset[str]:
        """The refused parts, with `name` added."""
        return refused | {name}

    @property
    def settled(self) -> bool:
        """Whether all parts are decided."""
        return not self._wanted

    @property
    def current(self) -> frozenset[str]:
        """The parts that the next request leaves out."""
        return self._wanted[0] if self._wanted else self.refused

    def doubts(self, without: frozenset[str], votes: int = 1) -> bool:
        """Whether a request has a part that no accepted request had."""
        return not self._innocent and bool(self._unknown(without, votes))

    def took(self, without: frozenset[str], votes: int = 1) -> None:
        """A request without `without`, for so many `votes`, was accepted."""
        self._accepted |= self._parts(without, votes)
        self._guesses = None
        if self._wanted and without == self._wanted[0]:
            self.refused = without
            self._wanted = []
        elif self._before is not None and without == self.refused:
            self._failed.pop()
            self._want_back()

    def give_up(self, name: str) -> None:
        """Leave out `name` from now on: it was accepted, and then not honoured."""
        self.refused |= {name}

    def refuse(self, error: StatusError, without: frozenset[str], votes: int = 1) -> bool:
        """Learn from the refusal of a request without `without`; False if another request would fail alike."""
        if without != self.current:  # another request may have found the same refusal meanwhile
            return True
        if self._wanted:  # a guess of what is enough
            self._wanted.pop(0)
            return True
        if error.status not in _SUSPECT:
            return False
        if self.blame(error, without, votes):
            return True
        return not self._innocent and self._guess(error, self._unknown(without, votes))

    def blame(self, error: StatusError, without: frozenset[str], votes: int) -> bool:
        """Leave out the part that the error names; False if it names no optional part of the request."""
        name = self._named(error, without, votes)
        if name is None:
            return False
        self.refused = self._less(self.refused, name)
        return True

    def _unknown(self, without: frozenset[str], votes: int) -> frozenset[str]:
        return self._parts(without, votes) - self._accepted - self.never_guessed

    def _guess(self, error: StatusError, unknown: frozenset[str]) -> bool:
        """Leave out the parts that no accepted request had."""
        if self._guesses is None:
            if not unknown or error.status in (404, 405, 415):
                return False
            self._before = self.refused
            self._guesses = [step for step in dict.fromkeys(self._steps(unknown, error.status)) if step]
        if not self._guesses:
            self._innocent = error.status in (500, 501)
            self.refused, self._before, self._guesses, self._failed = self._before or frozenset(), None, None, []
            return False
        guess = self._guesses.pop(0)
        self._failed.append(guess)  # unless it is taken
        self.refused = (self._before or frozenset()) | guess
        return True

    def _want_back(self) -> None:
        """After the success of a guess that leaves out several parts: try to restore all but one of them."""
        before, self._before = self._before or frozenset(), None
        extra = self.refused - before
        single = [frozenset({name}) for name in self.likely if name in extra and len(extra) > 1]
        # A request without more than that was refused: without less it would be refused, too.
        open_ = [one for one in single if not any(one <= failed for failed in self._failed)]
        self._wanted = [before | one for one in open_[: MOST_WASTED - 2]]
