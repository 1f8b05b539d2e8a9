"""Estimates of a call's usage, before the call is made."""

from __future__ import annotations

import json
from dataclasses import replace
from functools import lru_cache

from grading.backend import Reply, VoteCall
from grading.protocol.prompt import verdict_schema
from grading.verdict import State, Usage

# Before the first reply. With the tokenizer of SmolLM2 the prompts of SKILL-MIX have 3.9 bytes for each token,
# the chat template's own tokens included, and verdicts with quotes of twelve words 22 to 28 tokens for each
# criterion, by the white space of the JSON. Bytes, not characters: a character of a script that tokenizers know
# less well has more of both.
BYTES_PER_TOKEN = 4.0
COMPLETION_PER_CRITERION = 30.0
COMPLETION_OF_TEXT = 250.0  # of a call for a text, which has no criteria: a short passage and its explanation

_TEMPLATE_TOKENS = 32  # of the chat template around one message, generously


class CallEstimator:
    """Expected usage of one model's calls, corrected by every reply, and the largest possible one.

    Prompt tokens go by the UTF-8 bytes of the messages, completion tokens by the number of criteria.
    `max_tokens` is the model's limit for one reply. No discount for prompts that the provider caches is expected.
    """

    def __init__(self, max_tokens: int) -> None:
        self._max_tokens = max_tokens
        self._replies = 0
        self._bytes = self._prompt = self._criteria = self._completion = 0

    def learn(self, call: VoteCall, usage: Usage) -> None:
        """Learn from the usage of `call`; a reply without usage is ignored."""
        if not usage:
            return
        size, criteria = _bytes(call), len(call.criteria) or 1
        self._replies += 1
        self._bytes += size
        self._prompt += usage.prompt
        self._criteria += criteria
        self._completion += usage.completion

    def expected(self, call: VoteCall) -> Usage:
        """The mean of the replies so far, or the documented constants before the first."""
        per_byte = self._prompt / self._bytes if self._replies else 1 / BYTES_PER_TOKEN
        first = COMPLETION_PER_CRITERION if call.criteria else COMPLETION_OF_TEXT
        per_criterion = self._completion / self._criteria if self._replies else first
        completion = round(per_criterion * (len(call.criteria) or 1))
        return Usage(round(per_byte * _bytes(call)), min(completion, self._max_tokens))

    def most(self, call: VoteCall) -> Usage:
        """The highest usage of `call`, as long as the endpoint keeps to `max_tokens` and adds no prompt of its
        own.

        Not learned from replies, because the next may be longer than all before. A token has at least one byte,
        and a provider may count the schema of the reply among the prompt's tokens.
        """
        schema = _schema_bytes(call.criteria) if call.criteria else 0
        prompt = _bytes(call) + schema + _TEMPLATE_TOKENS * len(call.messages)
        return Usage(prompt, self._max_tokens)

    def completed(self, call: VoteCall, reply: Reply) -> Reply:
        """`reply` with an estimate of its usage where it has no valid one.

        The estimate goes by call and reply alone, so that a stored reply has the same in every run.
        """
        if reply.usage or reply.state is State.API_FAILED:
            return reply
        completion = round(len(reply.text.encode()) / BYTES_PER_TOKEN)
        if reply.state in (State.TRUNCATED, State.REASONING_ONLY):
            completion = self._max_tokens
        return replace(reply, usage=Usage(round(_bytes(call) / BYTES_PER_TOKEN), completion), estimated=True)


def _bytes(call: VoteCall) -> int:
    return sum(len(message["content"].encode()) for message in call.messages)


@lru_cache
def _schema_bytes(criteria: tuple[str, ...]) -> int:
    return len(json.dumps(verdict_schema(criteria)).encode())
