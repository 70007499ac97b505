"""Small servers on loopback for the tests of REST sources: one that speaks HTTP properly, one that sends what it is told, byte for byte."""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

from aiohttp import web

from kasparro.core.etl_config import ApiSource
from kasparro.ingestion.http.retry import Waiting
from kasparro.ingestion.sources.api import ApiPages
from kasparro.schemas.ingest import Cursor, Page

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
NOW = datetime(2026, 5, 4, 12, 0, 0, tzinfo=UTC)
Script = Callable[[int, asyncio.StreamWriter], Awaitable[None]]
"""Called with the number of the connection, from 0, once its request has been read."""


@dataclass(slots=True)
class Api:
    """A server's address, and what it was asked."""

    url: str
    requests: list[web.Request] = field(default_factory=list)

    @property
    def paths(self) -> list[str]:
        return [request.path_qs for request in self.requests]


@contextlib.asynccontextmanager
async def serve(handler: Handler) -> AsyncIterator[Api]:
    api = Api("")

    async def noted(request: web.Request) -> web.StreamResponse:
        api.requests.append(request)
        return await handler(request)

    app = web.Application()
    app.router.add_route("*", "/{path:.*}", noted)
    runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
    await runner.setup()
    try:
        await web.TCPSite(runner, "127.0.0.1", 0).start()
        host, port = runner.addresses[0][:2]
        api.url = f"http://{host}:{port}"
        yield api
    finally:
        await runner.cleanup()


@contextlib.asynccontextmanager
async def serve_bytes(script: Script) -> AsyncIterator[str]:
    """*script* writes the answer; the connection is closed after it. Yields the URL."""
    connections = 0
    under_way: set[asyncio.Task[Any]] = set()

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal connections
        number, connections = connections, connections + 1
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await reader.readuntil(b"\r\n\r\n")
            await script(number, writer)
            await writer.drain()
        except (ConnectionError, asyncio.CancelledError):
            pass  # the client has gone, or the test is over
        finally:
            under_way.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    host, port = server.sockets[0].getsockname()[:2]
    try:
        yield f"http://{host}:{port}"
    finally:
        server.close()
        for task in list(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


def scripted(*answers: bytes) -> Script:
    """One answer for each connection; the last one for all that follow."""

    async def script(number: int, writer: asyncio.StreamWriter) -> None:
        writer.write(answers[min(number, len(answers) - 1)])

    return script


def http_answer(body: bytes, *headers: str, status: str = "200 OK", framed: bool = True) -> bytes:
    """An answer as bytes; one that is not framed ends where the connection does."""
    length = (f"Content-Length: {len(body)}",) if framed else ("Connection: close",)
    head = [f"HTTP/1.1 {status}", "Content-Type: application/json", *length, *headers, "", ""]
    return "\r\n".join(head).encode() + body


def json_answer(content: Any, **options: Any) -> web.Response:
    return web.Response(text=json.dumps(content), content_type="application/json", **options)


def declare(url: str, **keys: Any) -> ApiSource:
    return ApiSource.model_validate({"type": "api", "name": "things", "url": url, **keys})


@dataclass(slots=True)
class Naps:
    """A sleep that takes no time but that of its own clock, and remembers how long it was asked for."""

    taken: list[float] = field(default_factory=list)
    at: datetime = NOW

    async def sleep(self, seconds: float) -> None:
        self.taken.append(seconds)
        self.at += timedelta(seconds=seconds)

    def now(self) -> datetime:
        return self.at

    def monotonic(self) -> float:
        return (self.at - NOW).total_seconds()

    def waiting(self, **others: Any) -> Waiting:
        own = {"sleep": self.sleep, "now": self.now, "monotonic": self.monotonic, "chance": lambda: 0.0}
        return Waiting(**{**own, **others})


async def fetch(
    declaration: ApiSource, after: Cursor | None = None, waiting: Waiting | None = None
) -> list[Page]:
    """All pages there are."""
    source = ApiPages(declaration, waiting or Naps().waiting())
    return [page async for page in source.pages(after)]


def payloads(pages: list[Page]) -> list[bytes]:
    return [record.payload for page in pages for record in page.records]


def ids(pages: list[Page]) -> list[Any]:
    return [json.loads(payload)["id"] for payload in payloads(pages)]
