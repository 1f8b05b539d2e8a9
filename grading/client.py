"""Judges behind an OpenAI-compatible endpoint: bounded concurrency, retries by the openai package."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from openai import (
    APIConnectionError,
    APIError,
    APIStatusError,
    AsyncOpenAI,
    AuthenticationError,
    BadRequestError,
    OpenAI,
)
from openai.types.chat import ChatCompletion

from grading.backend import OnReply, Reply, VoteCall
from grading.errors import UserError
from grading.prompt import verdict_schema
from grading.text import encodable
from grading.verdict import State, Usage

if TYPE_CHECKING:
    from grading.judge import JudgeSpec

_RETRIES = 5  # of one call, with backoff and Retry-After, inside the openai package
_TIMEOUT = 180.0  # seconds for one call; a reasoning judge needs them
_CHECK_TIMEOUT = 15.0
_GIVE_UP_AFTER = 24  # calls in a row that failed for good: the endpoint is gone, the rest is not tried


class OpenAIBackend:
    """Sends votes to `spec.base_url` with at most `concurrency` calls in flight."""

    def __init__(self, spec: JudgeSpec, *, api_key: str, concurrency: int) -> None:
        self._spec = spec
        self._api_key = api_key
        self._concurrency = concurrency
        # Parameters that the endpoint refused; found out at the first call, kept for the run.
        self.refused: set[str] = set()
        self._failures_in_a_row = 0

    def check(self) -> None:
        """Ask the endpoint for its models: free, and it tells a wrong address, key or model id apart."""
        spec = self._spec
        client = OpenAI(base_url=spec.base_url, api_key=self._api_key, max_retries=1, timeout=_CHECK_TIMEOUT)
        try:
            models = [model.id for model in client.models.list()]
        except AuthenticationError as error:
            variable = "OPENAI_API_KEY" if spec.endpoint == "openai" else "SKILLMIX_JUDGE_API_KEY"
            raise UserError(
                f"The judge's endpoint {spec.base_url} refused the key: set {variable} to a valid one."
            ) from error
        except APIConnectionError as error:
            raise UserError(
                f"The judge's endpoint {spec.base_url} cannot be reached: start it, or set "
                "SKILLMIX_JUDGE_BASE_URL to the right address."
            ) from error
        except APIStatusError as error:
            if error.status_code < 500:
                return  # a server without this route may still answer chats
            raise UserError(
                f"The judge's endpoint {spec.base_url} answers with status {error.status_code}: try again "
                "when it is up, or name another judge with SKILLMIX_JUDGE_MODEL and SKILLMIX_JUDGE_BASE_URL."
            ) from error
        finally:
            client.close()
        if models and spec.model not in models:
            shown = ", ".join(sorted(models)[:8]) + (", ..." if len(models) > 8 else "")
            raise UserError(
                f"The judge's endpoint {spec.base_url} does not serve the model {spec.model}: set "
                f"SKILLMIX_JUDGE_MODEL (or the setting `judge`) to one of {shown}."
            )

    def run(self, calls: Sequence[VoteCall], on_reply: OnReply) -> None:
        """Answer all calls in a thread of its own, so that a caller's running event loop is no obstacle."""
        if not calls:
            return
        failure: list[BaseException] = []
        loop = asyncio.new_event_loop()
        task = loop.create_task(self._run(iter(calls), on_reply))

        def work() -> None:
            try:
                loop.run_until_complete(task)
            except asyncio.CancelledError:
                pass  # the caller was interrupted and raises
            except BaseException as error:  # noqa: BLE001 - handed to the caller's thread
                failure.append(error)
            finally:
                loop.close()

        thread = threading.Thread(target=work, name="judge-client", daemon=True)
        thread.start()
        try:
            thread.join()
        except KeyboardInterrupt:
            loop.call_soon_threadsafe(task.cancel)
            thread.join()
            raise
        if failure:
            raise failure[0]

    async def _run(self, calls: Iterator[VoteCall], on_reply: OnReply) -> None:
        async with AsyncOpenAI(
            base_url=self._spec.base_url, api_key=self._api_key, max_retries=_RETRIES, timeout=_TIMEOUT
        ) as client:

            async def worker() -> None:
                for call in calls:
                    on_reply(call, await self._ask(client, call))

            async with asyncio.TaskGroup() as group:
                for _ in range(self._concurrency):
                    group.create_task(worker())

    async def _ask(self, client: AsyncOpenAI, call: VoteCall) -> Reply:
        if self._failures_in_a_row >= _GIVE_UP_AFTER:
            return Reply(
                State.API_FAILED, detail=f"not tried: {_GIVE_UP_AFTER} calls in a row had failed for good"
            )
        while True:
            refused_before = frozenset(self.refused)
            try:
                completion = await client.chat.completions.create(**self._parameters(call))
            except BadRequestError as error:
                # Another call may have found the same refusal meanwhile: then just ask again.
                if self._adapt(error) or refused_before != self.refused:
                    continue
                return self._failed(error)
            except APIError as error:
                return self._failed(error)
            except ValueError as error:  # a body that is not JSON
                return self._failed(error)
            self._failures_in_a_row = 0
            return _read(completion)

    def _parameters(self, call: VoteCall) -> dict[str, Any]:
        spec = self._spec
        parameters: dict[str, Any] = {
            "model": spec.model,
            "messages": list(call.messages),
            "seed": call.seed,
            "temperature": spec.temperature,
            "max_tokens": spec.max_tokens,
            "response_format": {
                "type": "json_schema",
                "json_schema": {"name": "verdict", "strict": True, "schema": verdict_schema(call.criteria)},
            },
        }
        if "max_tokens" in self.refused:
            parameters["max_completion_tokens"] = spec.max_tokens
        return {
            name: value for name, value in parameters.items() if value is not None and name not in self.refused
        }

    def _adapt(self, error: BadRequestError) -> bool:
        """Leave out the parameter that the endpoint names in its refusal; False if there is none such."""
        body = error.body if isinstance(error.body, dict) else {}
        named = f"{body.get('param') or ''} {body.get('message') or error.message}"
        for parameter in ("response_format", "json_schema", "temperature", "max_tokens", "seed"):
            known = "response_format" if parameter == "json_schema" else parameter
            if parameter in named and known not in self.refused:
                self.refused.add(known)
                return True
        return False

    def _failed(self, error: Exception) -> Reply:
        self._failures_in_a_row += 1
        return Reply(State.API_FAILED, detail=f"{type(error).__name__}: {error}"[:500])


def _read(completion: ChatCompletion) -> Reply:
    usage = _usage(completion)
    if not completion.choices:
        return Reply(State.EMPTY, detail="no choice in the reply", usage=usage)
    choice = completion.choices[0]
    text = encodable(choice.message.content or "")
    if choice.message.refusal or choice.finish_reason == "content_filter":
        return Reply(State.REFUSED, text, encodable(choice.message.refusal or "content filter"), usage)
    if choice.finish_reason == "length":
        return Reply(State.TRUNCATED, text, "the reply ended at max_tokens", usage)
    if not text.strip():
        return Reply(State.EMPTY, text, "the reply holds no text", usage)
    return Reply(State.GRADED, text, usage=usage)


def _usage(completion: ChatCompletion) -> Usage:
    usage = completion.usage
    if usage is None:
        return Usage()
    details = usage.prompt_tokens_details
    cached = (details.cached_tokens if details else None) or 0
    return Usage(usage.prompt_tokens, usage.completion_tokens, cached)
