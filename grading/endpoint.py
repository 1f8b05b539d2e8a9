"""Judges behind an OpenAI-compatible endpoint."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Sequence
from typing import TYPE_CHECKING

import requests

from grading.backend import OnReply, VoteCall
from grading.errors import UserError

if TYPE_CHECKING:
    from grading.judge import JudgeSpec

_CHECK_TIMEOUT = 15.0  # seconds


class OpenAIBackend:
    """Asks `spec.base_url`, with at most `concurrency` calls in flight."""

    def __init__(self, spec: JudgeSpec, *, api_key: str, concurrency: int) -> None:
        self._spec = spec
        self._api_key = api_key
        self._concurrency = concurrency

    def check(self) -> None:
        """Ask the endpoint for its models: free, and it tells a wrong address, key or model id apart.

        The package openai is not used, whose import takes a second of every start.
        """
        spec = self._spec
        try:
            response = requests.get(
                f"{spec.base_url.rstrip('/')}/models",
                headers={"Authorization": f"Bearer {self._api_key}"},
                timeout=_CHECK_TIMEOUT,
            )
        except requests.RequestException as error:
            raise UserError(
                f"The judge's endpoint {spec.base_url} cannot be reached ({type(error).__name__}): start it, or "
                "set SKILLMIX_JUDGE_BASE_URL to the right address."
            ) from error
        if response.status_code in (401, 403):
            variable = "OPENAI_API_KEY" if spec.endpoint == "openai" else "SKILLMIX_JUDGE_API_KEY"
            raise UserError(
                f"The judge's endpoint {spec.base_url} refused the key: set {variable} to a valid one."
            )
        if response.status_code >= 500 or response.status_code == 429:
            raise UserError(
                f"The judge's endpoint {spec.base_url} answers with status {response.status_code}: try again "
                "when it is up, or name another judge with SKILLMIX_JUDGE_MODEL and SKILLMIX_JUDGE_BASE_URL."
            )
        models = _model_ids(response)
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
        from grading.client import VoteClient

        failure: list[BaseException] = []
        loop = asyncio.new_event_loop()
        client = VoteClient(self._spec, api_key=self._api_key, concurrency=self._concurrency)
        task = loop.create_task(client.run(iter(calls), on_reply))

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


def _model_ids(response: requests.Response) -> set[str]:
    """The ids that the endpoint lists; none if it has no such route, which a server may lack."""
    if not response.ok:
        return set()
    try:
        return {str(model["id"]) for model in response.json()["data"]}
    except (ValueError, KeyError, TypeError):
        return set()
