"""A student behind an endpoint: lm-eval's request, sent and read so that each failure has a name.

The first request goes alone. It finds the address and the parameters that the endpoint takes, or ends the run in
one sentence with the endpoint's words.
"""

from __future__ import annotations

import asyncio
import json
import logging
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from grading import UserError
from grading.endpoint import chat
from grading.endpoint.errors import CallFailedError, NoReplyError, StatusError
from grading.endpoint.learner import Learner
from grading.endpoint.throttle import Throttle
from grading.endpoint.transport import Transport
from grading.failure import FINAL, Cause
from grading.keys import redact
from grading.models.spec import clean_key, refuse_other_address
from grading.protocol.reasoning import Split, content_text, split_reasoning
from skillmix_tasks.harness.lm_eval_internals import concurrency, payload
from skillmix_tasks.scoring.reply import AnswerState, StudentReply, read_reply

# Parameters that a request leaves out if the endpoint refuses them, in the order of the attempts.
_OPTIONAL = ("repetition_penalty", "top_k", "min_p", "presence_penalty", "seed", "top_p", "temperature")
_OF_LOCAL_SERVERS = frozenset({"repetition_penalty", "top_k", "min_p"})  # OpenAI's interface has none of them
_GIVE_UP_AFTER = 24  # requests in a row without a reply, after which the endpoint counts as down
_FIRST_ATTEMPTS = 2  # at the first request, whose user waits
_CHAT = "/chat/completions"
_NOT_THERE = (
    "does not have this address or the model {model}",
    "correct base_url, which usually ends in /v1/chat/completions, or model in --model_args",
)
_ADVICE = {  # by cause: what the endpoint does, and what to type
    Cause.NO_REPLY: ("cannot be reached", "start it, or correct base_url in --model_args"),
    Cause.NOT_A_CHAT: (
        "answers with something that is not a chat completion",
        "check the model in --model_args, and base_url, which usually ends in /v1/chat/completions",
    ),
    Cause.KEY: ("refused the key", "set OPENAI_API_KEY to a valid one"),
    Cause.CREDITS: (
        "says that the account has no money or quota left",
        "add some, then type the same command again; replies that came are saved",
    ),
    Cause.NO_CHAT: _NOT_THERE,
    Cause.MODEL: _NOT_THERE,
    Cause.BUSY: ("fails", "type the same command again when it works"),
    Cause.SERVER: ("fails", "type the same command again when it works"),
}

logger = logging.getLogger(__name__)
Keep = Callable[[int, StudentReply], None]


class EndpointStudent:
    """Asks an API model of lm-eval's."""

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        is_chat = hasattr(lm, "parse_generations") and "Chat" in type(lm).__name__
        self._addresses = list(addresses(str(lm.base_url), chat=is_chat))
        self._proved = False
        self._failures = 0
        self.limit: int | None = None  # tokens of the visible text, where reasoning has its own
        self._learner = _Parameters()

    @property
    def refused(self) -> frozenset[str]:
        """The parameters that the endpoint does not take."""
        return self._learner.refused

    @property
    def is_openai(self) -> bool:
        """Whether the endpoint is OpenAI's, which knows fewer parameters than local servers."""
        return urlsplit(self._addresses[0]).hostname == "api.openai.com"

    def ask(self, requests: Sequence[tuple[Any, dict[str, Any]]], keep: Keep) -> None:
        """Call `keep` with the number and the reply of each request as it arrives; UserError if none can come."""
        if requests:
            try:
                asyncio.run(self._ask_all(requests, keep))
            except BaseExceptionGroup as group:
                known, _ = group.split(UserError)
                raise (known.exceptions[0] if known else group) from None

    async def _ask_all(self, requests: Sequence[tuple[Any, dict[str, Any]]], keep: Keep) -> None:
        waiting = iter(enumerate(requests))
        if not self._proved:
            number, (context, arguments) = next(waiting)
            keep(number, await self._first(context, arguments))
            self._proved = True
        bound = concurrency(self._lm)
        async with self._transport(self._addresses[0], bound) as transport, asyncio.TaskGroup() as group:
            for _ in range(bound):
                group.create_task(self._work(transport, waiting, keep))

    async def _work(self, transport: Transport, waiting: Iterator[tuple[int, Any]], keep: Keep) -> None:
        for number, (context, arguments) in waiting:
            try:
                reply = read_body(await transport.post(self._body(context, arguments, self.refused)), self.limit)
            except CallFailedError as error:
                if error.failure.cause in FINAL:
                    raise self._sentence(error) from error
                reply = _failed(error)
            self._failures = self._failures + 1 if reply.state is AnswerState.API_FAILED else 0
            if self._failures >= _GIVE_UP_AFTER:
                raise UserError(
                    f"{self._failures} requests in a row to the student's endpoint {self._shown()} failed, the "
                    f"last with: {reply.facts.detail}. The replies so far are saved: type the same command again "
                    "later."
                )
            keep(number, reply)

    async def _first(self, context: Any, arguments: dict[str, Any]) -> StudentReply:
        """The reply to the run's first request, sent until address and parameters suit the endpoint."""
        first: CallFailedError | None = None
        for address in list(self._addresses):
            async with self._transport(address, 1) as transport:
                try:
                    reply = await self._suited(transport, context, arguments)
                except CallFailedError as error:
                    if error.failure.cause is not Cause.NO_CHAT:
                        raise self._sentence(error) from error
                    first = first or error
                    continue
            self._addresses = [address]
            return reply
        assert first is not None  # there is always an address
        raise self._sentence(first) from first

    async def _suited(self, transport: Transport, context: Any, arguments: dict[str, Any]) -> StudentReply:
        """The reply to a request with all that the endpoint takes."""
        learner, first = self._learner, None
        learner.sent = frozenset(payload(self._lm, context, arguments))
        while True:
            without = learner.current
            try:
                body = await transport.post(self._body(context, arguments, without), attempts=_FIRST_ATTEMPTS)
            except StatusError as error:
                if error.filtered:
                    return _failed(error)
                first = first or error
                if error.failure.cause not in (Cause.REFUSED, Cause.SERVER):
                    raise
                if not learner.refuse(error, without):
                    raise first from error
                continue
            learner.took(without)
            if learner.current == without:
                break
        if without:
            logger.warning(
                "The student's endpoint refuses %s: requests omit it, and the results record it.",
                ", ".join(sorted(without)),
            )
        return read_body(body, self.limit)

    def _body(self, context: Any, arguments: dict[str, Any], without: frozenset[str]) -> bytes:
        body = payload(self._lm, context, arguments)
        if "max_tokens" in without and "max_tokens" in body:
            body["max_completion_tokens"] = body["max_tokens"]
        return json.dumps({name: value for name, value in body.items() if name not in without}).encode()

    def _transport(self, address: str, bound: int) -> Transport:
        lm = self._lm
        if self.is_openai:
            refuse_other_address(f"the student {lm.model}", "name the address that you mean with base_url")
        clean_key("OPENAI_API_KEY")  # which lm-eval's classes send
        try:
            headers = {
                name: " ".join(value.split()) for name, value in lm.header.items() if value.strip() != "Bearer"
            }
        except ValueError as error:  # an OpenAI model without a key
            raise UserError(f"The student's endpoint {self._shown()} needs a key: {error}") from error
        return Transport(
            address,
            headers,
            Throttle(bound, adaptive=False),
            name=str(getattr(lm, "model", "the student")),
            timeout=float(lm.timeout),
            verify=bool(lm.verify_certificate),
            charged=True,
        )

    def _shown(self) -> str:
        parts = urlsplit(self._addresses[0])
        return redact(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")))

    def _sentence(self, error: CallFailedError) -> UserError:
        """The endpoint's failure, in its own words, and what to type."""
        where, words, cause = f"The student's endpoint {self._shown()}", str(error.failure), error.failure.cause
        if isinstance(error, NoReplyError) and error.advised:
            return UserError(f"{where} cannot be reached: {words}.")
        fails, advice = _ADVICE.get(cause, ("refuses the request", "correct --model_args or the run's settings"))
        return UserError(f"{where} {fails.format(model=getattr(self._lm, 'model', ''))} ({words}): {advice}.")


def read_body(body: dict[str, Any], limit: int | None = None) -> StudentReply:
    """The first choice with a reply in a body in which the transport found one.

    With a `limit` a visible text of more tokens is cut to its part.
    """
    choice = next(one for one in body["choices"] if chat.holds_reply(one) or chat.holds_text(one))
    message = choice["message"] if isinstance(choice.get("message"), dict) else {"content": choice["text"]}
    content = message.get("content")
    split = content_text(content) if not isinstance(content, str) else split_reasoning(content)
    if beside := chat.reasoning_beside(message):
        split = replace(split, reasoning=f"{beside}\n{split.reasoning}".strip())
    finish, refusal = choice.get("finish_reason"), message.get("refusal")
    completion, cut_off = chat.usage_of(body.get("usage")).completion, chat.was_cut(finish)
    reasoning_tokens = chat.reasoning_in(body.get("usage")) or _estimated(completion, split)
    visible = completion - (reasoning_tokens or 0)
    if limit is not None and visible > limit:
        split, cut_off = replace(split, visible=split.visible[: len(split.visible) * limit // visible]), True
    return read_reply(
        split,
        cut_off=cut_off,
        filtered=chat.was_filtered(finish),
        refusal=refusal if isinstance(refusal, str) else "",
        reasoning_tokens=reasoning_tokens,
    )


def _estimated(completion: int, split: Split) -> int | None:
    """The reasoning's part of all tokens by its characters; None without reasoning or a count."""
    if not split.reasoning or not completion:
        return None
    return round(completion * len(split.reasoning) / (len(split.reasoning) + len(split.visible)))


def addresses(url: str, *, chat: bool) -> Iterator[str]:
    """The addresses to try for an API model's base_url, which may lack its end."""
    parts = urlsplit(url)
    path = parts.path.rstrip("/")
    ends = [""]
    if chat and not path.endswith("completions"):
        ends = [_CHAT, f"/v1{_CHAT}"] if re.search(r"/v\d\w*$", path) else [f"/v1{_CHAT}", _CHAT]
    for end in ends:
        yield urlunsplit(parts._replace(path=path + end if end else parts.path))


def _failed(error: CallFailedError) -> StudentReply:
    filtered = isinstance(error, StatusError) and error.filtered
    state = AnswerState.FILTERED if filtered else AnswerState.API_FAILED
    return StudentReply.failed(state, str(error.failure))


class _Parameters(Learner):
    """The parameters that a student's requests leave out; `sent` are the names of those in the first one.

    A single one is tried first: a reply counts only if it was sampled with all that the endpoint takes.
    """

    likely = _OPTIONAL
    never_guessed = frozenset({"max_tokens"})
    sent: frozenset[str] = frozenset()

    def _parts(self, without: frozenset[str], votes: int) -> frozenset[str]:  # noqa: ARG002
        return (self.sent & {*_OPTIONAL, "max_tokens"}) - without

    def _named(self, error: StatusError, without: frozenset[str], votes: int) -> str | None:
        parts, blamed = self._parts(without, votes), error.blamed()
        return next(
            (
                name
                for name in (*_OPTIONAL, "max_tokens")
                if name in parts and (name in blamed or re.search(rf"\b{name}\b", error.failure.words))
            ),
            None,
        )

    def _steps(self, unknown: frozenset[str], status: int) -> list[frozenset[str]]:
        single = [frozenset({name}) for name in _OPTIONAL if name in unknown]
        return [unknown] if status == 500 else [*single, unknown & _OF_LOCAL_SERVERS, unknown]
