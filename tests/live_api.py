"""The API on a port of its own, for what needs a connection: streams, and clients that go."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from kasparro.api.feed import Feed, FeedTiming


class Server(uvicorn.Server):
    """Says when it is ready."""

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()


@asynccontextmanager
async def serving(service: Any, timing: FeedTiming | None = None) -> AsyncIterator[int]:
    """Serve the application of *service*, and give the port; its streams end before it does."""
    feed = service.app.state.feed = Feed(service.runtime.changes, service.runtime.url, timing)
    server = Server(uvicorn.Config(service.app, port=0, log_config=None, access_log=False, lifespan="off"))
    server.ready = asyncio.Event()
    task = asyncio.create_task(server.serve())
    await server.ready.wait()
    try:
        yield server.servers[0].sockets[0].getsockname()[1]
    finally:
        feed.end()
        server.should_exit = True
        await task
        await feed.close()
