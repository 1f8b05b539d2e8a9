"""The server itself: an aiohttp application that plays student and judge, and its control routes.

Run as `python -m tests.servers.app`, see tests.servers.serving.
"""

from __future__ import annotations

import asyncio
import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from aiohttp import web

from tests.servers.batches import Batches
from tests.servers.completion import build, count_cached, model_card, no_such_model, problem_of
from tests.servers.faults import error_body, error_reply
from tests.servers.gullible import gullible_verdict
from tests.servers.judge import JudgePrompt, read_prompt
from tests.servers.sent import Sent, send
from tests.servers.serving import serve
from tests.servers.state import Dropped, State
from tests.servers.student import last_user_text

if TYPE_CHECKING:
    from tests.servers.behaviour import Entry


class Server:
    def __init__(self) -> None:
        self.state = State()
        self._batches = Batches(self._item)

    def application(self) -> web.Application:
        application = web.Application(client_max_size=64 * 2**20)
        application.add_routes(self._batches.routes(self))
        application.add_routes(
            [
                web.post("/v1/chat/completions", self.chat),
                web.get("/v1/models", self.models),
                web.get("/v1/models/{id:.+}", self.models),
                web.post("/control", self.control),
                web.post("/control/reset", self.reset),
                web.get("/control/counts", self.counts),
                web.get("/control/log", self.log),
            ]
        )
        return application

    async def control(self, request: web.Request) -> web.Response:
        try:
            self.state.change(await request.json())
        except (TypeError, ValueError) as error:
            return web.json_response({"error": str(error)}, status=400)
        return web.json_response({})

    async def reset(self, request: web.Request) -> web.Response:
        self.state.end()
        self.state = State()
        return await self.control(request)

    async def counts(self, request: web.Request) -> web.Response:
        return web.json_response(asdict(self.state.counts))

    async def log(self, request: web.Request) -> web.Response:
        return web.json_response([asdict(entry) for entry in self.state.log])

    def refused(self, request: web.Request, route: str) -> Sent | None:
        """Count a request by route, and turn it down if the server is broken or the key is wrong."""
        routes, behaviour = self.state.counts.routes, self.state.behaviour
        routes[route] = routes.get(route, 0) + 1
        if behaviour.fail_all is not None:
            error = error_reply(str(behaviour.fail_all), behaviour.retry_after)
            return Sent(error[0], error[2]) if error else None
        if any(name in request.headers for name in behaviour.refuse_headers):
            return Sent(403, error_body("That header is not for this server."))
        if behaviour.api_key is not None:
            key = request.headers.get("Authorization", "").removeprefix("Bearer ")
            if key != behaviour.api_key:
                message = "Incorrect API key provided." if key else "You didn't provide an API key."
                return Sent(401, error_body(message, code="invalid_api_key"))
        return None

    async def models(self, request: web.Request) -> web.StreamResponse:
        wanted = request.match_info.get("id")
        refused = self.refused(request, "GET /v1/models/{id}" if wanted else "GET /v1/models")
        behaviour = self.state.behaviour
        listed = ["judge", "student"] if behaviour.models is None else behaviour.models
        cards = [model_card(entry) for entry in listed]
        if refused:
            sent = refused
        elif not behaviour.models_route:
            sent = Sent(404, error_body("Not found."))
        elif wanted is None:
            sent = Sent(200, {"object": "list", "data": cards})
        elif behaviour.models is None:
            sent = Sent(200, model_card(wanted))
        else:
            card = next((card for card in cards if card["id"] == wanted), None)
            sent = Sent(200, card) if card else Sent(404, no_such_model(wanted))
        return await send(request, sent)

    async def _item(self, state: State, body: dict[str, Any]) -> tuple[int, dict[str, Any] | str] | None:
        """Status and body of the reply to one item of a batch, which meets faults as a live request does.

        None if there is none.
        """
        prompt = read_prompt(last_user_text(body["messages"]))
        role = "judge" if prompt else "student"
        entry = state.arrive(role, body)
        try:
            sent = await _answer(state, entry, prompt)
            _count(state, entry, sent)
        finally:
            state.counts.in_flight[role] -= 1
        return None if sent.cut else (sent.status, sent.body)

    async def chat(self, request: web.Request) -> web.StreamResponse:
        state = self.state
        refused = self.refused(request, "POST /v1/chat/completions")
        body = _parsed(await request.read())
        if body is None:
            return await send(request, refused or Sent(400, error_body("The body is not a chat request.")))
        asked = last_user_text(body["messages"])
        prompt = read_prompt(asked)
        gullible = state.behaviour.gullible
        judging = prompt is not None or (gullible is not None and gullible_verdict(asked, gullible) is not None)
        role = "judge" if judging else "student"
        entry = state.arrive(role, body)
        try:
            sent = refused or await _answer(state, entry, prompt)
            response = await send(request, sent)
            _count(state, entry, sent)
        except Dropped:
            response = web.Response()
            if request.transport:
                request.transport.abort()
        except (asyncio.CancelledError, ConnectionError):
            entry.outcome = "abandoned" if entry.outcome == "pending" else entry.outcome
            state.counts.abandoned[role] += 1
            raise
        finally:
            state.counts.in_flight[role] -= 1
        return response


async def _answer(state: State, entry: Entry, prompt: JudgePrompt | None) -> Sent:
    role, body, behaviour = entry.role, entry.body, state.behaviour
    problem = problem_of(body, behaviour)
    if problem:
        return Sent(*problem)
    if behaviour.latency(role):
        await asyncio.sleep(behaviour.latency(role))
    if role == "judge":
        await state.hold()
    # From here to a reply's admission nothing waits, so that not one reply more than `hold_after` gets out.
    behaviour = state.behaviour
    fault, said = state.next_fault(entry)
    if fault:
        entry.outcome = fault
        state.counts.faults[fault] = state.counts.faults.get(fault, 0) + 1
        error = error_reply(fault, behaviour.retry_after)
        if error:
            status, headers, content = error
            return Sent(status, content, headers)
    if fault == "hang":
        await state.ended.wait()
        raise Dropped
    state.admitted += role == "judge" and fault != "cut"
    if fault == "slow":
        await asyncio.sleep(behaviour.slow_s)
    cached = count_cached(body, state.cache) if behaviour.prompt_cache else 0
    completion = build(body, prompt, fault, said, behaviour, cached)
    if fault == "bad-body":
        return Sent(200, json.dumps(completion)[:-20])
    return Sent(200, completion, cut=fault == "cut")


def _count(state: State, entry: Entry, sent: Sent) -> None:
    counts, role = state.counts, entry.role
    if sent.cut:
        return
    counts.statuses[str(sent.status)] = counts.statuses.get(str(sent.status), 0) + 1
    if entry.outcome == "pending":
        entry.outcome = "ok" if sent.status == 200 else str(sent.status)
    if sent.status == 200:
        counts.replied[role] += 1
        if isinstance(sent.body, dict):
            usage = sent.body["usage"]
            counts.tokens[role]["prompt"] += usage["prompt_tokens"]
            counts.tokens[role]["completion"] += usage["completion_tokens"]
            counts.tokens[role]["cached"] += usage["prompt_tokens_details"]["cached_tokens"]


def _parsed(raw: bytes) -> dict[str, Any] | None:
    try:
        body = json.loads(raw)
    except ValueError:
        return None
    messages = body.get("messages") if isinstance(body, dict) else None
    if not isinstance(messages, list) or not messages or not all(isinstance(m, dict) for m in messages):
        return None
    return dict(body)


if __name__ == "__main__":
    serve(Server().application())
