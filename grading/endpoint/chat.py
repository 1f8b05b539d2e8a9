"""Votes as chat completions: reads the body of a reply, which may hold an error in spite of its status."""

from __future__ import annotations

import json
import re
from contextlib import suppress
from itertools import pairwise
from typing import Any

from grading.backend import Reply
from grading.endpoint.errors import CallFailedError, NotAChatError, StatusError, error_within
from grading.keys import redact
from grading.protocol.reasoning import content_text, part_text
from grading.safety.bounds import MOST_TEXT, brief, cut, load_json
from grading.safety.text import encodable
from grading.verdict import State, Usage, counted

_ENDS = re.compile(r"\}\s*(```)?\s*\Z")
_MOST_DETAIL = 500  # characters of an endpoint's own words
_SHOWN = 2000  # characters that are kept of a text that is too long to be read
# How choices end beside "stop", in the words of many providers.
_BROKEN = re.compile(r"(\w+_)?error|abort(ed)?|cancelled|insufficient_system_resource", re.IGNORECASE)
_CUT = re.compile(r"length|max_?(\w+_)?tokens|context_window|token_limit", re.IGNORECASE)
_FILTERED = re.compile(
    r"filter|sensitive|safety|recitation|blocklist|prohibited|spii|refus|guardrail|toxic|moderat", re.IGNORECASE
)
_REASONING = ("reasoning_content", "reasoning", "reasoning_details", "thinking", "thinking_blocks")  # of a message


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
        return error_within(status, error, usage)
    if not listed:  # an error without the name of one
        rest = {name: value for name, value in content.items() if name != "choices"}
        nameless = error_within(status, rest, usage)
        if "choices" not in content or isinstance(nameless, StatusError):
            return nameless
    return NotAChatError(f"no chat completion: {brief(content, 200)}", status, usage)


def was_filtered(finish: object) -> bool:
    """Whether a choice with this finish reason was stopped by the provider's filter."""
    return isinstance(finish, str) and _FILTERED.search(finish) is not None


def was_cut(finish: object) -> bool:
    """Whether a choice with this finish reason ended at a limit of tokens."""
    return isinstance(finish, str) and _CUT.search(finish) is not None


def holds_reply(choice: object) -> bool:
    """Whether a choice has a message and did not fail."""
    return isinstance(choice, dict) and isinstance(choice.get("message"), dict) and not _failed(choice)


def holds_text(choice: object) -> bool:
    """Whether it is the choice of an endpoint that completes texts, which a student may be."""
    return isinstance(choice, dict) and isinstance(choice.get("text"), str) and not _failed(choice)


def _failed(choice: dict[str, Any]) -> bool:
    finish = choice.get("finish_reason")
    return bool(choice.get("error")) or (isinstance(finish, str) and _BROKEN.fullmatch(finish) is not None)


def reasoning_beside(message: dict[str, Any]) -> str:
    """The reasoning of a message, if it has a separate field beside the content; else empty."""
    beside = next((message[name] for name in _REASONING if message.get(name)), "")
    return part_text(beside) or (json.dumps(beside, ensure_ascii=False) if beside else "")


def replies_in(content: dict[str, Any], votes: int | None = None) -> list[Reply]:
    """The replies, one for each choice that holds one, in the parsed body of a response with status 200.

    Choices beyond `votes`, the requested number, are left out, and their usage counts with the others.
    Empty if the body holds none. The tokens of the prompt, which are paid for once, are counted with the first
    reply. Usage that cannot be used is left out of the replies.
    """
    choices = content.get("choices")
    usable = [one for one in choices if holds_reply(one)] if isinstance(choices, list) else []
    usage = usage_of(content.get("usage"))
    if not usage.completion and any(_read(choice["message"].get("content"))[0] for choice in usable):
        usage = Usage()  # a server that does not count says 0
    kept = usable[:votes]
    return [_reply(*pair) for pair in zip(kept, _shares(usage, len(kept)), strict=True)] if kept else []


def _reply(choice: dict[str, Any], usage: Usage) -> Reply:
    message, finish, refusal = choice["message"], choice.get("finish_reason"), choice["message"].get("refusal")
    content, thought = _read(message.get("content"))
    content = content or _called(message)
    if len(content) > MOST_TEXT:  # not read as far as it goes: half a verdict is invalid
        detail = f"the reply has {len(content):,} characters, and at most {MOST_TEXT:,} are read"
        return Reply(State.TRUNCATED, cut(content, _SHOWN), detail, usage)
    if refusal or was_filtered(finish):
        reason = encodable(str(refusal or "") or "content filter")
        return Reply(State.REFUSED, content, cut(reason, _MOST_DETAIL), usage)
    thought = thought or encodable(reasoning_beside(message))
    if not content.strip() and thought:
        # With a limit that the reasoning used up, too: a higher one helps, a repetition may.
        end = ", which ended at max_tokens" if was_cut(finish) else ""
        # A server that takes the reply for reasoning leaves it there; the parser looks for a verdict at its end.
        kept = thought if finish == "stop" and len(thought) <= MOST_TEXT and _ENDS.search(thought) else ""
        return Reply(
            State.REASONING_ONLY,
            redact(kept),
            f"the reply holds nothing but reasoning{end}: set max_tokens higher",
            usage,
        )
    if was_cut(finish):
        return Reply(State.TRUNCATED, content, "the reply ended at max_tokens: set it higher", usage)
    if not content.strip():
        return Reply(State.EMPTY, content, "the reply holds no text", usage)
    return Reply(State.GRADED, content, usage=usage)


def _read(content: object) -> tuple[str, str]:
    """The visible text and the reasoning of a message's content: a text, parts, or JSON that was parsed."""
    if isinstance(content, str):
        if content.startswith('"{'):  # JSON inside a text of JSON
            with suppress(ValueError):
                content = load_json(content)
        # A parser takes escaped lone surrogates, which no file can hold.
        return encodable(str(content)), ""
    split = content_text(content)
    parts = content if isinstance(content, list) else [content]
    if any(isinstance(one, dict) and "type" not in one and not isinstance(one.get("text"), str) for one in parts):
        return encodable(redact(json.dumps(content, ensure_ascii=False))), ""
    return encodable(redact(split.visible)), encodable(split.reasoning)


def _called(message: dict[str, Any]) -> str:
    """The arguments of a function call: some gateways make a function of the form, and the reply its call."""
    calls = message.get("tool_calls")
    call = calls[0] if isinstance(calls, list) and calls else None
    function = call.get("function") if isinstance(call, dict) else message.get("function_call")
    return _read(function.get("arguments"))[0] if isinstance(function, dict) else ""


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
