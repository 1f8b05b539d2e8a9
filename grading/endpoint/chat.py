"""Votes as chat completions: what an endpoint is asked, and what its reply says."""

from __future__ import annotations

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, Field, ValidationError

from grading.backend import Reply, VoteCall
from grading.keys import redact
from grading.protocol.prompt import verdict_schema
from grading.safety.bounds import MOST_TEXT, brief, cut
from grading.safety.text import encodable
from grading.verdict import State, Usage, counted

if TYPE_CHECKING:
    from grading.models.spec import ModelSpec

_OPTIONAL = ("response_format", "temperature", "max_tokens", "reasoning_effort", "seed", "n")
_MOST_DETAIL = 500  # characters of an endpoint's own words
_SHOWN = 2000  # characters that are kept of a text that is too long to be read


class Dialect:
    """The requests that one endpoint takes.

    `refused` are the parameters that it turned out not to take; they are left out from then on.
    """

    def __init__(self, spec: ModelSpec, refused: Iterable[str] = ()) -> None:
        self._spec = spec
        self.refused = set(refused)

    def request(self, call: VoteCall, votes: int = 1) -> dict[str, Any]:
        """The body of a request for `call`, and for as many `votes` with the same messages as one may ask for."""
        spec = self._spec
        parameters: dict[str, Any] = {
            "model": spec.model,
            "messages": list(call.messages),
            "seed": call.seed,
            "temperature": spec.temperature,
            "reasoning_effort": spec.reasoning_effort,
            "max_tokens": spec.max_tokens,
            **spec.own_parameters(),
            "n": votes if votes > 1 else None,
            "response_format": None
            if spec.response_format == "text"
            else {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema(call.criteria)},
            },
        }
        if "max_tokens" in self.refused:
            parameters["max_completion_tokens"] = spec.max_tokens
        return {
            name: value for name, value in parameters.items() if value is not None and name not in self.refused
        }

    def adapt(self, error: object) -> bool:
        """Leave out the parameter that the body of a refusal blames; False if it blames none that may go."""
        for parameter in _named_in(error):
            if parameter in _OPTIONAL and parameter not in self.refused:
                self.refused.add(parameter)
                return True
        return False


def _named_in(body: object) -> list[str]:
    """The parameters that an error's body blames, in the dialects of OpenAI and of FastAPI servers."""
    if not isinstance(body, dict):
        return []
    named = [str(body.get("param") or "").partition(".")[0]]
    for problem in body.get("detail") or () if isinstance(body.get("detail"), list) else ():
        if isinstance(problem, dict):
            named += [str(place) for place in problem.get("loc") or ()]
    # Without a field that says it, the message's first words do, in quotation marks; what follows may be an echo.
    named += re.findall(r"['\"`](\w+)['\"`]", str(body.get("message") or "")[:200])
    return named


class _Message(BaseModel):
    content: str | list[Any] | None = None
    refusal: str | None = None
    reasoning_content: Any = None  # of DeepSeek's kind of server
    reasoning: Any = None  # of OpenRouter's


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None


class _Body(BaseModel):
    """What is read of a reply's body; servers differ in all the rest."""

    choices: list[_Choice] = Field(min_length=1)
    usage: Any = None


def replies_in(content: Any, votes: int | None = None) -> list[Reply]:
    """The replies, one for each choice, in the parsed body of a response with status 200; at least one.

    Choices beyond `votes`, the number that was asked for, are left out, and what they used counts with the others.
    A body that is no chat completion gives one reply with the state API_FAILED. The tokens of the prompt, which
    are paid for once, are counted with the first reply. Usage that cannot be used is left out of the replies.
    """
    try:
        body = _Body.model_validate(content)
    except ValidationError as error:
        # Not a verdict that was paid for: an error page, or a router's error in place of a reply.
        detail = f"no chat completion ({type(error).__name__}): {brief(content, 200)}"
        usage = _usage(content.get("usage")) if isinstance(content, dict) else Usage()
        return [Reply(State.API_FAILED, detail=detail, usage=usage)]
    usage = _usage(body.usage)
    if not usage.completion and any(_text(choice.message.content) for choice in body.choices):
        usage = Usage()  # a server that does not count says 0
    choices = body.choices[:votes]
    return [_reply(*pair) for pair in zip(choices, _shares(usage, len(choices)), strict=True)]


def _reply(choice: _Choice, usage: Usage) -> Reply:
    content = _text(choice.message.content)
    if len(content) > MOST_TEXT:  # not read as far as it goes: half a verdict is invalid
        detail = f"the reply has {len(content):,} characters, and at most {MOST_TEXT:,} are read"
        return Reply(State.TRUNCATED, cut(content, _SHOWN), detail, usage)
    if choice.message.refusal or choice.finish_reason == "content_filter":
        reason = encodable(choice.message.refusal or "content filter")
        return Reply(State.REFUSED, content, cut(reason, _MOST_DETAIL), usage)
    if not content.strip() and (choice.message.reasoning_content or choice.message.reasoning):
        # With a limit that the reasoning used up, too: a higher one helps, a repetition may.
        end = ", which ended at max_tokens" if choice.finish_reason == "length" else ""
        return Reply(State.REASONING_ONLY, content, f"the reply holds nothing but reasoning{end}", usage)
    if choice.finish_reason == "length":
        return Reply(State.TRUNCATED, content, "the reply ended at max_tokens", usage)
    if not content.strip():
        return Reply(State.EMPTY, content, "the reply holds no text", usage)
    return Reply(State.GRADED, content, usage=usage)


def _text(content: str | list[Any] | None) -> str:
    if isinstance(content, list):  # parts, as some servers send them
        content = redact("".join(str(part.get("text", "")) for part in content if isinstance(part, dict)))
    return encodable(content or "")  # a parser takes escaped lone surrogates, which no file can hold


def _usage(reported: object) -> Usage:
    """A request's usage as its reply reports it; nothing is known where prompt or completion is no count.

    Reasoning counts as completion, also where an endpoint reports it beside that: then it is in the total, or more
    than the completion.
    """
    if not isinstance(reported, dict):
        return Usage()
    prompt, completion = counted(reported.get("prompt_tokens")), counted(reported.get("completion_tokens"))
    if not prompt or completion is None:
        return Usage()
    reasoning = counted(_detail(reported, "completion_tokens_details", "reasoning_tokens")) or 0
    if reasoning > completion:
        completion += reasoning
    total = counted(reported.get("total_tokens")) or 0
    cached = _detail(reported, "prompt_tokens_details", "cached_tokens")
    return Usage.read(prompt, max(completion, total - prompt), cached)


def _detail(reported: dict[str, Any], group: str, name: str) -> object:
    details = reported.get(group)
    return details.get(name) if isinstance(details, dict) else None


def _shares(usage: Usage, votes: int) -> list[Usage]:
    """The request's usage by vote; they add up to it, and no vote has more of the completions than another."""
    ends = [usage.completion * number // votes for number in range(votes + 1)]
    tokens = [end - start for start, end in pairwise(ends)]
    return [
        Usage(usage.prompt, tokens[0], usage.cached),
        *(Usage(completion=number) for number in tokens[1:]),
    ]
