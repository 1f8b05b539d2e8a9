"""The requests that one endpoint takes, which is found out by trying and not by who it is."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any, Final

from grading.backend import Message, VoteCall
from grading.protocol.prompt import verdict_schema

if TYPE_CHECKING:
    from grading.endpoint.errors import StatusError
    from grading.models.spec import ModelSpec

# What a request may go without. "json_schema" leaves the form of the reply at any JSON object, "max_tokens" sends
# the limit as max_completion_tokens, "system" puts the system's text into the user's turn.
OPTIONAL: Final = (
    "json_schema",
    "response_format",
    "seed",
    "n",
    "temperature",
    "reasoning_effort",
    "max_tokens",
    "system",
)
MOST_WASTED: Final = 5  # requests that may be refused until the run ends
_LIKELY = ("n", "response_format", "seed", "temperature", "reasoning_effort")  # what is refused most often
_SUSPECT = frozenset({400, 404, 405, 415, 422, 500, 501})  # statuses with which a parameter is refused


class Dialect:
    """What requests to one endpoint look like.

    `refused` is what they go without. A refusal that names a parameter is followed by a request without it. One
    that names none is followed by requests without the form of the reply, then without `seed` and `n`, then with
    nothing that is optional. Each later request then tries to have one of them back.
    """

    def __init__(self, spec: ModelSpec, refused: Iterable[str] = ()) -> None:
        self._spec = spec
        self.refused = frozenset(refused)
        self._accepted: set[str] = set()  # what an accepted request had
        self._before: frozenset[str] | None = None  # what was refused before a guess that was taken
        self._wanted: list[frozenset[str]] = []  # what requests could go without, if less is enough
        self._guesses: list[frozenset[str]] | None = None
        self._failed: list[frozenset[str]] = []  # guesses that were refused
        self._innocent = False  # the server fails also without all that is optional

    @property
    def settled(self) -> bool:
        """Whether nothing is left to find out."""
        return not self._wanted

    @property
    def current(self) -> frozenset[str]:
        """What the next request goes without."""
        return self._wanted[0] if self._wanted else self.refused

    @property
    def form_was_accepted(self) -> bool:
        """Whether a reply came in the form that was asked for."""
        return "json_schema" in self._accepted

    def request(self, call: VoteCall, votes: int = 1, without: frozenset[str] | None = None) -> dict[str, Any]:
        """The body of a request for `call`, and for as many `votes` with the same messages as one may ask for."""
        spec = self._spec
        without = self.current if without is None else without
        parameters: dict[str, Any] = {
            "model": spec.model,
            "messages": _in_user_turn(call.messages) if "system" in without else list(call.messages),
            "seed": call.seed,
            "temperature": spec.temperature,
            "reasoning_effort": spec.reasoning_effort,
            "max_tokens": spec.max_tokens,
            **spec.own_parameters(),
            "n": votes if votes > 1 else None,
            "response_format": self._form(call, without),
        }
        if "max_tokens" in without:
            parameters["max_completion_tokens"] = spec.max_tokens
        return {name: value for name, value in parameters.items() if value is not None and name not in without}

    def _form(self, call: VoteCall, without: frozenset[str]) -> dict[str, Any] | None:
        if self._spec.response_format == "text":
            return None
        if "json_schema" in without:
            return {"type": "json_object"}
        schema = {"name": "verdict", "strict": True, "schema": verdict_schema(call.criteria)}
        return {"type": "json_schema", "json_schema": schema}

    def doubts(self, without: frozenset[str], votes: int) -> bool:
        """Whether a request has a part that no accepted request had."""
        return not self._innocent and bool(self._parts(without, votes) - self._accepted - {"max_tokens", "system"})

    def took(self, without: frozenset[str], votes: int) -> None:
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
        """Leave out `name` from now on: it was taken, and then not honoured."""
        self.refused |= {name}

    def refuse(self, error: StatusError, without: frozenset[str], votes: int) -> bool:
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
        return not self._innocent and self._guess(error, self._parts(without, votes))

    def blame(self, error: StatusError, without: frozenset[str], votes: int) -> bool:
        """Leave out what the error is about; False if it names nothing that the request had and may go without."""
        parts = self._parts(without, votes)
        if error.of_system_role and "system" not in without:
            self.refused |= {"system"}
            return True
        for name in error.blamed():
            named = self._of_form(without) if name == "response_format" else name
            if named in parts or (named == "response_format" and "json_schema" in without):
                self.refused = _without(self.refused, named)
                return True
        return False

    def _guess(self, error: StatusError, parts: frozenset[str]) -> bool:
        """Go without what no accepted request had."""
        unknown = parts - self._accepted - {"max_tokens", "system"}
        if self._guesses is None:
            if not unknown or error.status in (404, 405, 415):
                return False
            self._before = self.refused
            form = [frozenset({"json_schema"}), frozenset({"response_format"})] if "json_schema" in unknown else []
            few = unknown & {"seed", "n"}
            every = (unknown - {"json_schema"}) | ({"response_format"} if form else set())
            # An error of the server explains itself by a parameter only if without all of them it is gone.
            steps = [] if error.status == 500 else [*form, *([few] if few else [])]
            self._guesses = [step for step in dict.fromkeys([*steps, every]) if step]
        if not self._guesses:
            self._innocent = error.status in (500, 501)
            self.refused, self._before, self._guesses, self._failed = self._before or frozenset(), None, None, []
            return False
        guess = self._guesses.pop(0)
        self._failed.append(guess)  # unless it is taken
        self.refused = (self._before or frozenset()) | guess
        return True

    def _want_back(self) -> None:
        """After a guess was taken that leaves out several parameters: try to have all but one of them."""
        before, self._before = self._before or frozenset(), None
        extra = self.refused - before
        single = [frozenset({name}) for name in _LIKELY if name in extra and len(extra) > 1]
        # A request without more than that was refused: without less it would be refused, too.
        open_ = [one for one in single if not any(one <= failed for failed in self._failed)]
        self._wanted = [before | one for one in open_[: MOST_WASTED - 2]]

    def _parts(self, without: frozenset[str], votes: int) -> frozenset[str]:
        """The optional parts that a request has."""
        spec = self._spec
        absent = {
            "json_schema": spec.response_format == "text",
            "response_format": True,  # stands for any form; the schema is what is sent first
            "seed": False,
            "n": votes < 2,
            "temperature": spec.temperature is None,
            "reasoning_effort": spec.reasoning_effort is None,
        }
        found = {name for name in OPTIONAL if not absent.get(name)} - without
        if "response_format" in without:
            found.discard("json_schema")
        return frozenset(found)

    def _of_form(self, without: frozenset[str]) -> str:
        if self._spec.response_format == "text" or "response_format" in without:
            return ""
        return "response_format" if "json_schema" in without else "json_schema"


def _without(refused: frozenset[str], name: str) -> frozenset[str]:
    # No form at all is more than a weaker one.
    return refused - {"json_schema"} | {name} if name == "response_format" else refused | {name}


def _in_user_turn(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's text at the beginning of the first turn of the user."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if system and rest:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or [{"role": "user", "content": system}]
