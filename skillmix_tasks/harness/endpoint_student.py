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
from typing import Any
from urllib.parse import urlsplit, urlunsplit

from grading import UserError
from grading.endpoint.errors import CallFailedError, StatusError
from grading.endpoint.throttle import Throttle
from grading.endpoint.transport import Transport
from grading.failure import FINAL, Cause
from grading.keys import redact
from grading.protocol.reasoning import Split, content_text, split_reasoning
from skillmix_tasks.harness.lm_eval_internals import concurrency, payload
from skillmix_tasks.scoring.reply import AnswerState, StudentReply, read_reply

# What a request does without, if the endpoint refuses it; in the order in which doing without is tried.
_OPTIONAL = ("repetition_penalty", "top_k", "min_p", "presence_penalty", "seed", "top_p", "temperature")
_GIVE_UP_AFTER = 24  # requests in a row without a reply: the endpoint is gone
_FIRST_ATTEMPTS = 2  # at the first request, whose user waits
_CHAT = "/chat/completions"

logger = logging.getLogger(__name__)
Keep = Callable[[int, StudentReply], None]


class EndpointStudent:
    """Asks an API model of lm-eval's; `refused` are the parameters that its endpoint does not take."""

    def __init__(self, lm: Any) -> None:
        self._lm = lm
        self._chat = hasattr(lm, "parse_generations") and "Chat" in type(lm).__name__
        self._addresses = list(addresses(str(lm.base_url), chat=self._chat))
        self._proved = False
        self._failures = 0
        self.limit: int | None = None  # tokens of the visible text, where reasoning has its own
        self.refused: set[str] = set()

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
                reply = read_body(await transport.post(self._body(context, arguments)), self.limit)
            except CallFailedError as error:
                if error.failure.cause in FINAL:
                    raise self._sentence(error) from error
                reply = _failed(error)
            self._failures = self._failures + 1 if reply.state is AnswerState.API_FAILED else 0
            if self._failures >= _GIVE_UP_AFTER:
                raise UserError(
                    f"{self._failures} requests in a row to the student's endpoint {self._shown()} failed, the "
                    f"last with: {reply.detail}. The replies so far are saved: type the same command again later."
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
                    first = first or error
                    if error.failure.cause is not Cause.NO_CHAT:
                        raise self._sentence(error) from error
                    if address == self._addresses[-1]:
                        raise self._sentence(first) from error
                    continue
            self._addresses = [address]
            return reply
        raise AssertionError("there is always an address")

    async def _suited(self, transport: Transport, context: Any, arguments: dict[str, Any]) -> StudentReply:
        """The reply to a request without the parameters that the endpoint refuses, which are remembered."""
        tried = [self.refused]
        failure: StatusError | None = None
        while tried:
            self.refused = tried.pop(0)
            try:
                body = await transport.post(self._body(context, arguments), attempts=_FIRST_ATTEMPTS)
            except StatusError as error:
                if error.filtered:
                    return _failed(error)
                if error.failure.cause is not Cause.REFUSED:
                    raise
                sent = payload(self._lm, context, arguments)
                blamed = [name for name in (*_OPTIONAL, "max_tokens") if name in sent and _blames(error, name)]
                more = [self.refused | {name} for name in blamed if name not in self.refused]
                if failure is None:
                    there = [name for name in _OPTIONAL if name in sent]
                    more += [{name} for name in there] + [set(there)]
                failure = failure or error
                tried = more + tried if blamed else tried + more
                continue
            if self.refused:
                logger.warning(
                    "The student's endpoint refuses %s, which is left out; the results say so.",
                    ", ".join(sorted(self.refused)),
                )
            return read_body(body, self.limit)
        self.refused = set()
        assert failure is not None
        raise failure

    def _body(self, context: Any, arguments: dict[str, Any]) -> bytes:
        body = payload(self._lm, context, arguments)
        if "max_tokens" in self.refused and "max_tokens" in body:
            body["max_completion_tokens"] = body["max_tokens"]
        return json.dumps({name: value for name, value in body.items() if name not in self.refused}).encode()

    def _transport(self, address: str, bound: int) -> Transport:
        lm = self._lm
        try:
            headers = {name: value for name, value in lm.header.items() if value != "Bearer "}
        except ValueError as error:  # an OpenAI model without a key
            raise UserError(f"The student's endpoint {self._shown()} needs a key: {error}") from error
        return Transport(
            address,
            headers,
            Throttle(bound, adaptive=False),
            timeout=float(lm.timeout),
            verify=bool(lm.verify_certificate),
        )

    def _shown(self) -> str:
        parts = urlsplit(self._addresses[0])
        return redact(urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment="")))

    def _sentence(self, error: CallFailedError) -> UserError:
        """What is wrong with the endpoint, in its own words, and what to type."""
        what = f"The student's endpoint {self._shown()}"
        words = str(error.failure)
        match error.failure.cause:
            case Cause.NO_REPLY:
                advice = f"cannot be reached ({words}): start it, or correct base_url in --model_args"
            case Cause.NOT_A_CHAT:
                advice = (
                    f"answers with something that is no chat completion ({words}): check the model in "
                    "--model_args, and base_url, which usually ends in /v1/chat/completions"
                )
            case Cause.KEY:
                advice = f"refused the key ({words}): set OPENAI_API_KEY to a valid one"
            case Cause.CREDITS:
                advice = (
                    f"says that the account has no money or quota left ({words}): add some, then type the same "
                    "command again; replies that came are saved"
                )
            case Cause.NO_CHAT | Cause.MODEL:
                advice = (
                    f"does not have this address or the model {getattr(self._lm, 'model', '')} ({words}): correct "
                    "base_url, which usually ends in /v1/chat/completions, or model in --model_args"
                )
            case Cause.BUSY | Cause.SERVER:
                advice = f"fails ({words}): type the same command again when it works"
            case _:
                advice = f"refuses the request ({words}): correct --model_args or the run's settings"
        return UserError(f"{what} {advice}.")


def read_body(body: dict[str, Any], limit: int | None = None) -> StudentReply:
    """The first choice with a reply in a body in which the transport found one.

    With a `limit` a visible text of more tokens is cut to its part.
    """
    choices = [one for one in body["choices"] if isinstance(one, dict) and not one.get("error")]
    choice = next(
        one for one in choices if isinstance(one.get("message"), dict) or isinstance(one.get("text"), str)
    )
    message = choice["message"] if isinstance(choice.get("message"), dict) else {"content": choice["text"]}
    content = message.get("content")
    split = content_text(content) if not isinstance(content, str) else split_reasoning(content)
    beside = next((message[name] for name in ("reasoning_content", "reasoning") if message.get(name)), "")
    if beside:
        beside = beside if isinstance(beside, str) else json.dumps(beside, ensure_ascii=False)
        split = Split(visible=split.visible, reasoning=f"{beside}\n{split.reasoning}".strip(), open=split.open)
    finish, refusal = choice.get("finish_reason"), message.get("refusal")
    usage = body.get("usage")
    reasoning_tokens, cut_off = _reasoning_tokens(usage, split), finish in ("length", "max_tokens")
    completion = usage.get("completion_tokens") if isinstance(usage, dict) else None
    if limit is not None and isinstance(completion, int):
        visible = completion - (reasoning_tokens or 0)
        if visible > limit:
            kept = split.visible[: len(split.visible) * limit // visible]
            split, cut_off = Split(visible=kept, reasoning=split.reasoning, open=split.open), True
    return read_reply(
        split,
        cut_off=cut_off,
        filtered=finish == "content_filter",
        refusal=refusal if isinstance(refusal, str) else "",
        reasoning_tokens=reasoning_tokens,
    )


def _reasoning_tokens(usage: object, split: Split) -> int | None:
    """As the endpoint counts them; else the reasoning's part of all tokens by its characters."""
    if not isinstance(usage, dict):
        return None
    details = usage.get("completion_tokens_details")
    counted = details.get("reasoning_tokens") if isinstance(details, dict) else None
    if isinstance(counted, int) and not isinstance(counted, bool) and 0 < counted < 2**31:
        return counted
    completion = usage.get("completion_tokens")
    if not split.reasoning or not isinstance(completion, int) or not 0 < completion < 2**31:
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
    return StudentReply(state=state, detail=str(error.failure))


def _blames(error: StatusError, name: str) -> bool:
    return name in error.blamed() or re.search(rf"\b{name}\b", error.failure.words) is not None
