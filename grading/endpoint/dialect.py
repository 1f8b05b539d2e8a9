"""The requests for votes that one endpoint takes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from grading.backend import Message, VoteCall
from grading.endpoint.errors import StatusError
from grading.endpoint.learner import Learner
from grading.models.spec import ModelSpec
from grading.protocol.prompt import verdict_schema


class Dialect(Learner):
    """The form of requests for votes to one endpoint.

    Without "json_schema" the reply may be any JSON object, without "max_tokens" the limit is sent as
    max_completion_tokens, and without "system" the system's text goes into the user's turn.

    Where an error names no part, they go without the form of the reply first, then without `seed` and `n`, then
    without all that is optional.
    """

    likely = ("n", "response_format", "seed", "temperature", "reasoning_effort", "system")
    never_guessed = frozenset({"max_tokens"})

    def __init__(self, spec: ModelSpec, refused: Iterable[str] = ()) -> None:
        super().__init__(refused)
        self._spec = spec

    @property
    def form_was_accepted(self) -> bool:
        """Whether a reply came in the requested form."""
        return "json_schema" in self._accepted

    def request(self, call: VoteCall, votes: int = 1, without: frozenset[str] | None = None) -> dict[str, Any]:
        """The body of a request for `call`, and for further `votes` with the same messages, as far as allowed."""
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

    def _named(self, error: StatusError, without: frozenset[str], votes: int) -> str | None:
        if error.of_system_role and "system" not in without:
            return "system"
        parts = self._parts(without, votes)
        for name in error.blamed():
            if name == "response_format" and self._has_form(without):
                return "response_format" if "json_schema" in without else "json_schema"
            if name in parts:
                return name
        return None

    def _less(self, refused: frozenset[str], name: str) -> frozenset[str]:
        # No form at all is more than a weaker one.
        return refused - {"json_schema"} | {name} if name == "response_format" else refused | {name}

    def _steps(self, unknown: frozenset[str], status: int) -> list[frozenset[str]]:
        form = [frozenset({"json_schema"}), frozenset({"response_format"})] if "json_schema" in unknown else []
        every = (unknown - {"json_schema"}) | ({"response_format"} if form else set())
        # An error of the server is explained by a parameter only if it disappears without all of them.
        return [every] if status == 500 else [*form, unknown & {"seed", "n"}, every]

    def _parts(self, without: frozenset[str], votes: int) -> frozenset[str]:
        """The optional parts that a request has."""
        depending = {
            "json_schema": self._has_form(without),
            "n": votes > 1,
            "temperature": self._spec.temperature is not None,
            "reasoning_effort": self._spec.reasoning_effort is not None,
        }
        present = {name for name, there in depending.items() if there}
        return frozenset(present | {"seed", "max_tokens", "system"}) - without

    def _has_form(self, without: frozenset[str]) -> bool:
        return self._spec.response_format != "text" and "response_format" not in without


def _in_user_turn(messages: Sequence[Message]) -> list[Message]:
    """The messages with the system's text at the beginning of the first turn of the user."""
    system = "\n\n".join(message["content"] for message in messages if message["role"] == "system")
    rest = [dict(message) for message in messages if message["role"] != "system"]
    if system and rest:
        rest[0]["content"] = f"{system}\n\n{rest[0]['content']}"
    return rest or [{"role": "user", "content": system}]
