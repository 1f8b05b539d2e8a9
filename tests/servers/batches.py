"""The Batch API: files, batches that end after some looks, and what each item gets, from the same judge."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

from aiohttp import web

from tests.servers.faults import error_body
from tests.servers.sent import Sent, send

if TYPE_CHECKING:
    from tests.servers.state import State

Json = dict[str, Any]
Answer = Callable[["State", Json], Awaitable[tuple[int, Json | str] | None]]
_PAGE = "<!DOCTYPE html><html><head><title>Just a moment...</title></head><body></body></html>"
_ENDED = frozenset({"completed", "expired", "cancelled", "failed"})


@dataclass
class Job:
    """One batch: its object as clients see it, its items, and how it will end."""

    shown: Json
    items: list[Json]
    end: str
    looks: int = 0


@dataclass
class Kept:
    """Files and batches of one state."""

    files: dict[str, bytes] = field(default_factory=dict)
    jobs: dict[str, Job] = field(default_factory=dict)


class Host(Protocol):
    state: State

    def refused(self, request: web.Request, route: str) -> Sent | None: ...


class Batches:
    """The routes; `answer` gives the reply to one item."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer

    def routes(self, host: Host) -> list[web.RouteDef]:
        def route(
            method: str, path: str, name: str, work: Callable[[State, web.Request], Awaitable[Sent]]
        ) -> web.RouteDef:
            async def handle(request: web.Request) -> web.StreamResponse:
                state = host.state
                refused = host.refused(request, f"{method} {path}")
                if refused is None and not state.behaviour.batches:
                    refused = Sent(404, error_body("Not found."))
                if refused:
                    return await send(request, refused)
                sent = await work(state, request)
                if state.batch_odd and state.batch_odd[0].removeprefix("error ") == name:
                    error = state.batch_odd.popleft().startswith("error ")
                    sent = Sent(200, error_body("Upstream error.") if error else _PAGE)
                if state.batch_lose and state.batch_lose[0] == f"keep {name}":
                    state.batch_lose.popleft()
                elif state.batch_lose and state.batch_lose[0] == name:
                    state.batch_lose.popleft()
                    state.counts.batch_lost += 1
                    if state.behaviour.batch_hang:
                        await state.ended.wait()
                    if request.transport:
                        request.transport.abort()
                    return web.Response()
                return await send(request, sent)

            return web.route(method, path, handle)

        return [
            route("POST", "/v1/files", "upload", self._upload),
            route("GET", "/v1/files/{id}/content", "download", self._download),
            route("POST", "/v1/batches", "create", self._create),
            route("GET", "/v1/batches", "list", self._list),
            route("GET", "/v1/batches/{id}", "look", self._look),
        ]

    async def _upload(self, state: State, request: web.Request) -> Sent:
        form = await request.post()
        upload = form["file"]
        if form["purpose"] != "batch" or not isinstance(upload, web.FileField):
            return Sent(400, error_body("The purpose must be batch."))
        content = upload.file.read()
        return Sent(200, _file(state, content, "batch"))

    async def _download(self, state: State, request: web.Request) -> Sent:
        content = state.batches.files.get(request.match_info["id"])
        if content is None or not state.behaviour.batch_files_kept:
            return Sent(404, error_body("No such File object."))
        text = content.decode()
        half = text.splitlines(keepends=True)[: text.count("\n") // 2]
        way = state.batch_files.popleft() if state.batch_files else None
        ways = {"html": _PAGE, "empty": "", "half": "".join(half) + text[-80:-40], "lines": "".join(half)}
        return Sent(200, text if way is None else ways[way])

    async def _create(self, state: State, request: web.Request) -> Sent:
        body = await request.json()
        content = state.batches.files.get(body["input_file_id"])
        if content is None or body["endpoint"] != "/v1/chat/completions" or body["completion_window"] != "24h":
            return Sent(400, error_body("Invalid batch."))
        items = [json.loads(line) for line in content.decode().splitlines()]
        behaviour, jobs = state.behaviour, state.batches.jobs
        shown = {
            "id": f"batch_{len(jobs)}",
            "object": "batch",
            "endpoint": body["endpoint"],
            "input_file_id": body["input_file_id"],
            "completion_window": "24h",
            "status": "in_progress",
            "created_at": state.now(),
            "metadata": body.get("metadata") if behaviour.batch_metadata else None,
            "output_file_id": None,
            "error_file_id": None,
            "errors": None,
        }
        running = sum(job.shown["status"] not in _ENDED for job in jobs.values())
        if behaviour.batch_open is not None and running >= behaviour.batch_open:
            return Sent(429, error_body("Too many batches are running.", code="batch_limit_exceeded"))
        end = state.batch_script.popleft() if state.batch_script else None
        job = jobs[shown["id"]] = Job(shown, items, end or "completed")
        state.counts.batches += 1
        queued = sum(len(other.items) for other in jobs.values() if other.shown["status"] not in _ENDED)
        problem = _problem(items)
        if problem or end == "failed":
            _fail(job, "invalid_request", problem or "The file cannot be processed.")
        elif behaviour.batch_queue is not None and queued > behaviour.batch_queue:
            _fail(job, "token_limit_exceeded", "Enqueued token limit reached.")
        else:
            for item in items:
                key = item["custom_id"]
                state.counts.submitted[key] = state.counts.submitted.get(key, 0) + 1
        return Sent(200, dict(shown))

    async def _list(self, state: State, request: web.Request) -> Sent:
        newest = [job.shown for job in reversed(state.batches.jobs.values())]
        after = request.query.get("after")
        if after:
            newest = newest[[shown["id"] for shown in newest].index(after) + 1 :]
        limit = int(request.query.get("limit", 20))
        page = newest[:limit]
        return Sent(200, {"object": "list", "data": page, "has_more": len(newest) > limit})

    async def _look(self, state: State, request: web.Request) -> Sent:
        job = state.batches.jobs.get(request.match_info["id"])
        if job is None:
            return Sent(404, error_body("No such batch."))
        state.counts.batch_looks += 1
        job.looks += 1
        if job.shown["status"] == "in_progress" and job.looks >= state.behaviour.batch_polls:
            await self._end(state, job)
        return Sent(200, dict(job.shown))

    async def _end(self, state: State, job: Job) -> None:
        job.shown["status"] = "finalizing"
        answered = len(job.items) if job.end == "completed" else state.behaviour.batch_answered
        lines: dict[str, list[Json]] = {"output": [], "error": []}
        for number, item in enumerate(job.items):
            line: Json = {"id": f"item_{number}", "custom_id": item["custom_id"], "response": None, "error": None}
            reply = await self._answer(state, item["body"]) if number < answered else None
            if reply is not None:
                line["response"] = {"status_code": reply[0], "request_id": f"r{number}", "body": reply[1]}
            else:
                code = "request_timeout" if number < answered else f"batch_{job.end}"
                line["error"] = {"code": code, "message": "This request was not executed."}
            lines["output" if reply is not None and reply[0] == 200 else "error"].append(line)
        for kind, written in lines.items():
            if written:
                content = "".join(json.dumps(line) + "\n" for line in reversed(written)).encode()
                job.shown[f"{kind}_file_id"] = _file(state, content, "batch_output")["id"]
        if state.behaviour.batch_counts:
            replied = len(lines["output"])
            job.shown["request_counts"] = {
                "total": len(job.items),
                "completed": replied,
                "failed": len(lines["error"]),
            }
        job.shown["status"] = job.end
        await asyncio.sleep(0)


def _file(state: State, content: bytes, purpose: str) -> Json:
    files = state.batches.files
    name = f"file-{len(files)}"
    files[name] = content
    return {
        "id": name,
        "object": "file",
        "bytes": len(content),
        "created_at": state.now(),
        "filename": "votes.jsonl",
        "purpose": purpose,
        "status": "processed",
    }


def _problem(items: list[Json]) -> str | None:
    """Why a file of requests is refused as a whole."""
    names = [item.get("custom_id") for item in items]
    if not items or len(set(names)) < len(names):
        return "Each line needs a custom_id of its own."
    if len({item["body"].get("model") for item in items}) > 1:
        return "All lines must name the same model."
    if any((item.get("method"), item.get("url")) != ("POST", "/v1/chat/completions") for item in items):
        return "Each line must be for the batch's endpoint."
    return None


def _fail(job: Job, code: str, message: str) -> None:
    job.shown["status"] = "failed"
    job.shown["errors"] = {
        "object": "list",
        "data": [{"code": code, "message": message, "param": None, "line": None}],
    }
