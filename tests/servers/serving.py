"""The process of a server: its port is printed when it is ready, and it ends when its standard input closes."""

from __future__ import annotations

import asyncio
import json
import os
import socket
import sys
import threading

from aiohttp import web


def serve(application: web.Application) -> None:
    """Serve on a free port of loopback for as long as the process that started this one lives."""
    threading.Thread(target=_end_with_parent, daemon=True).start()
    asyncio.run(_serve(application))


async def _serve(application: web.Application) -> None:
    # A handler ends when its client goes away, so that in-flight counts are true after a client is killed.
    runner = web.AppRunner(application, handler_cancellation=True, access_log=None)
    await runner.setup()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listening:
        await web.SockSite(runner, listening).start()
        sys.stdout.write(json.dumps({"port": listening.getsockname()[1]}) + "\n")
        sys.stdout.flush()
        await asyncio.Event().wait()


def _end_with_parent() -> None:
    sys.stdin.buffer.read()
    os._exit(0)
