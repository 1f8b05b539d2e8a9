"""Votes as chat completions: reads the body of a reply, which may hold an error in spite of its status."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

from pydantic import BaseModel

from grading.backend import Reply
from grading.endpoint.errors import CallFailedError, NotAChatError, StatusError, error_within
from grading.keys import redact
from grading.protocol.reasoning import content_text
from grading.safety.bounds import MOST_TEXT, brief, cut
from grading.safety.text import encodable
from grading.verdict import State, Usage, counted

_MOST_DETAIL = 500  # characters of an endpoint's own words
_SHOWN = 2000  # characters that are kept of a text that is too long to be read
# How choices end beside "stop", in the words of OpenAI, Google, Zhipu and Anthropic.
_BROKEN = frozenset({"error", "network_error"})
_CUT = frozenset({"length", "max_tokens", "model_context_window_exceeded"})
_FILTERED = frozenset({"sensitive", "safety", "recitation", "blocklist", "prohibited_content", "spii", "refusal"})


class _Message(BaseModel):
    content: Any = None
    refusal: Any = None
    tool_calls: Any = None
    reasoning_content: Any = None  # of DeepSeek's kind of server
    reasoning: Any = None  # of OpenRouter's


class _Choice(BaseModel):
    message: _Message
    finish_reason: Any = None
    error: Any = None


def failure_in(content: Any, status: int) -> CallFailedError | None:
    """Why the body of a reply of success holds no choice that can be read; None if it holds one."""
    if not isinstance(content, dict):
        return NotAChatError(f"no chat completion: {brief(content, 200)}", status)
    choices = content.get("choices")
    listed = choices if isinstance(choices, list) else []
    if any(holds_reply(one) or holds_text(one) for one in listed):
        return None
    usage = usage_of(content.get("usage"))
    errors = [one["error"] for one in listed if isinstance(one, dict) and one.get("error")]
    if error := content.get("error") or (errors[0] if errors else None):
        return error_within(status, {}, error, usage)
    if not listed:  # an error without the name of one
        rest = {name: value for name, value in content.items() if name != "choices"}
        nameless = error_within(status, {}, rest, usage)
        if "choices" not in content or isinstance(nameless, StatusError):
            return nameless
    return NotAChatError(f"no chat completion: {brief(content, 200)}", status, usage)


def was_filtered(finish: object) -> bool:
    """Whether a choice with this finish reason was stopped by the provider's filter."""
    return isinstance(finish, str) and (finish.startswith("content_filter") or finish.lower() in _FILTERED)


def was_cut(finish: object) -> bool:
    """Whether a choice with this finish reason ended at a limit of tokens."""
    return isinstance(finish, str) and finish.lower() in _CUT


def holds_reply(choice: object) -> bool:
    """Whether a choice has a message and did not fail."""
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict) and not _failed(choice)


def holds_text(choice: object) -> bool:
    """Whether it is the choice of an endpoint that completes texts, which a student may be."""
    return isinstance(choice, dict) and isinstance(choice.get("text"), str) and not _failed(choice)


def _failed(choice: dict[str, Any]) -> bool:
    return bool(choice.get("error")) or choice.get("finish_reason") in _BROKEN


def _usable(content: dict[str, Any]) -> list[_Choice]:
    """The choices that hold a reply."""
    choices = content.get("choices")
    listed = choices if isinstance(choices, list) else []
    return [_Choice.model_validate(one) for one in listed if holds_reply(one)]


def replies_in(content: dict[str, Any], votes: int | None = None) -> list[Reply]:
    """The replies, one for each choice that holds one, in the parsed body of a response with status 200.

    Choices beyond `votes`, the requested number, are left out, and their usage counts with the others.
    Empty if the body holds none. The tokens of the prompt, which are paid for once, are counted with the first
    reply. Usage that cannot be used is left out of the replies.
    """
    usable = _usable(content)
    usage = usage_of(content.get("usage"))
    if not usage.completion and any(_read(choice.message.content)[0] for choice in usable):
        usage = Usage()  # a server that does not count says 0
    choices = usable[:votes]
    return [_reply(*pair) for pair in zip(choices, _shares(usage, len(choices)), strict=True)] if choices else []


def _reply(choice: _Choice, usage: Usage) -> Reply:
    content, thought = _read(choice.message.content)
    content = content or _called(choice.message.tool_calls)
    if len(content) > MOST_TEXT:  # not read as far as it goes: half a verdict is invalid
        detail = f"the reply has {len(content):,} characters, and at most {MOST_TEXT:,} are read"
        return Reply(State.TRUNCATED, cut(content, _SHOWN), detail, usage)
    if choice.message.refusal or was_filtered(choice.finish_reason):
        reason = encodable(str(choice.message.refusal or "") or "content filter")
        return Reply(State.REFUSED, content, cut(reason, _MOST_DETAIL), usage)
    if not content.strip() and (thought or choice.message.reasoning_content or choice.message.reasoning):
        # With a limit that the reasoning used up, too: a higher one helps, a repetition may.
        end = ", which ended at max_tokens" if was_cut(choice.finish_reason) else ""
        return Reply(
            State.REASONING_ONLY,
            content,
            f"the reply holds nothing but reasoning{end}: set max_tokens higher",
            usage,
        )
    if was_cut(choice.finish_reason):
        return Reply(State.TRUNCATED, content, "the reply ended at max_tokens: set it higher", usage)
    if not content.strip():
        return Reply(State.EMPTY, content, "the reply holds no text", usage)
    return Reply(State.GRADED, content, usage=usage)


def _read(content: object) -> tuple[str, bool]:
    """The visible text of a message's content, a text or parts, and whether reasoning stands beside it."""
    if not isinstance(content, list):
        # A parser takes escaped lone surrogates, which no file can hold.
        return encodable(content) if isinstance(content, str) else "", False
    split = content_text(content)
    return encodable(redact(split.visible)), bool(split.reasoning)


def _called(calls: object) -> str:
    """The arguments of a function call: some gateways make a function of the form, and the reply its call."""
    call = calls[0] if isinstance(calls, list) and calls else None
    function = call.get("function") if isinstance(call, dict) else None
    arguments = function.get("arguments") if isinstance(function, dict) else None
    return encodable(arguments) if isinstance(arguments, str) else ""


def usage_of(reported: object) -> Usage:
    """A request's usage as its reply reports it; unknown if prompt or completion is not a count.

    Reasoning counts as completion, also where an endpoint reports it beside that: then it is in the total, or more
    than the completion.
    """
    if not isinstance(reported, dict):
        return Usage()
    prompt, completion = counted(reported.get("prompt_tokens")), counted(reported.get("completion_tokens"))
    if not prompt or completion is None:
        return Usage()
    reasoning = reasoning_in(reported) or 0
    if reasoning > completion:
        completion += reasoning
    total = counted(reported.get("total_tokens")) or 0
    cached = _detail(reported, "prompt_tokens_details", "cached_tokens")
    return Usage.read(prompt, max(completion, total - prompt), cached)


def reasoning_in(reported: object) -> int | None:
    """How many tokens of the usage that a reply reports are reasoning; None if it does not say."""
    return counted(_detail(reported, "completion_tokens_details", "reasoning_tokens"))


def _detail(reported: object, group: str, name: str) -> object:
    details = reported.get(group) if isinstance(reported, dict) else None
    return details.get(name) if isinstance(details, dict) else None


def _shares(usage: Usage, votes: int) -> list[Usage]:
    """The request's usage by vote; they add up to it, and no vote has more of the completions than another."""
    ends = [usage.completion * number // votes for number in range(votes + 1)]
    tokens = [end - start for start, end in pairwise(ends)]
    return [
        Usage(usage.prompt, tokens[0], usage.cached),
        *(Usage(completion=number) for number in tokens[1:]),
    ]
