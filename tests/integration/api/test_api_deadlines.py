"""Clients that take their time: they are let go at a deadline, and nobody else has to wait for them."""

from __future__ import annotations

import asyncio
import contextlib

import anyio
import httpx2
import pytest

from kasparro.core.http_protocol import ServerLimits
from live_server import PATIENCE, live, status

pytestmark = pytest.mark.anyio

HASTE = ServerLimits(receipt=0.3)
GET = b"GET /health/live HTTP/1.1\r\nHost: localhost\r\n"


async def trickle(wire, data: bytes) -> None:
    """A byte at a time for as long as the server takes them; nothing ends it but the server."""
    with contextlib.suppress(ConnectionError):
        while True:
            for byte in data:
                await wire.write(bytes([byte]))
                await asyncio.sleep(0)


LATE = {
    "nothing": (b"", b""),
    "half a line": (b"GET /health/li", b""),
    "half a head": (GET, b""),
    "empty lines": (b"", b"\r\n"),
    "half a header": (GET + b"X-Slow: ", b""),
    "half a body": (b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\nContent-Length: 9\r\n\r\n{", b""),
    "half a chunk": (
        b"POST /etl/run HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;",
        b"",
    ),
}
"""What is sent at once, and what is sent again and again after it."""


async def late(server, sent: bytes, trickled: bytes) -> bytes:
    async with server.connect() as wire:
        await wire.write(sent)
        slow = asyncio.create_task(trickle(wire, trickled)) if trickled else None
        received = await wire.rest()
        if slow:
            slow.cancel()
        return received


async def test_a_request_that_does_not_arrive_ends_its_connection(service, seed):
    async with live(service.app, HASTE) as server:
        answers = await asyncio.gather(*(late(server, *request) for request in LATE.values()))

    for name, answer in zip(LATE, answers, strict=True):
        assert status(answer) == 408, name
        assert b'"code": "request_timeout"' in answer, name
    assert seed.connection.execute("SELECT count(*) FROM procrastinate_jobs").fetchone() == (0,)


async def test_a_second_request_on_a_connection_has_the_same_deadline(service):
    async with live(service.app, HASTE) as server, server.connect() as wire:
        await wire.write(GET + b"\r\n")
        assert status(await wire.answer()) == 200
        await wire.write(b"GET /health/live HTT")
        received = await wire.rest()

    assert b"HTTP/1.1 408" in received


async def test_others_are_answered_meanwhile(service):
    async with (
        live(service.app, ServerLimits(receipt=PATIENCE)) as server,
        contextlib.AsyncExitStack() as stack,
    ):
        for _ in range(50):
            wire = await stack.enter_async_context(server.connect())
            await wire.write(GET)
        async with httpx2.AsyncClient(base_url=server.url) as client:
            answers = [await client.get("/health/live") for _ in range(5)]

    assert {answer.status_code for answer in answers} == {200}


async def test_an_answer_that_nobody_reads_ends_its_connection():
    ended = asyncio.Event()

    async def endless(scope, receive, send):
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        disconnected = asyncio.create_task(gone(receive))
        while not disconnected.done():
            await send({"type": "http.response.body", "body": b"x" * 65536, "more_body": True})
            await asyncio.sleep(0)
        ended.set()

    async with live(endless, HASTE) as server, server.connect() as wire:
        wire.writer.transport.pause_reading()
        await wire.write(GET + b"\r\n")
        with anyio.fail_after(PATIENCE):
            await ended.wait()


async def gone(receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def lifespan(receive, send) -> None:
    while (message := await receive())["type"] != "lifespan.shutdown":
        await send({"type": f"{message['type']}.complete"})
    await send({"type": "lifespan.shutdown.complete"})


class Waiting:
    """Requests to /wait are answered when `go` is set; all others at once."""

    def __init__(self) -> None:
        self.go = asyncio.Event()
        self.begun: asyncio.Queue[None] = asyncio.Queue()

    async def __call__(self, scope, receive, send) -> None:
        if scope["type"] == "lifespan":
            await lifespan(receive, send)
            return
        if scope["path"] == "/wait":
            self.begun.put_nowait(None)
            await self.go.wait()
        await send({"type": "http.response.start", "status": 200, "headers": [(b"content-length", b"2")]})
        await send({"type": "http.response.body", "body": b"ok"})


FEW = ServerLimits(connections=3, receipt=PATIENCE, spared=frozenset({"/health"}))


async def test_of_too_many_connections_the_one_that_waits_longest_makes_room():
    async with live(Waiting(), FEW) as server, contextlib.AsyncExitStack() as stack:
        silent = [await stack.enter_async_context(server.connect()) for _ in range(3)]
        await silent[1].write(GET)  # it has sent something, and still keeps us waiting
        answered = await server.send(GET + b"Connection: close\r\n\r\n")
        first = await silent[0].rest()
        await silent[2].write(GET + b"Connection: close\r\n\r\n")
        last = await silent[2].rest()

    assert status(answered) == 200
    assert first == b""
    assert status(last) == 200


async def test_when_all_connections_are_at_work_only_health_is_answered():
    application = Waiting()
    async with live(application, FEW) as server, contextlib.AsyncExitStack() as stack:
        busy = [await stack.enter_async_context(server.connect()) for _ in range(3)]
        for wire in busy:
            await wire.write(b"GET /wait HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            await application.begun.get()
        refused = await server.send(b"GET /data HTTP/1.1\r\nHost: localhost\r\n\r\n")
        health = await server.send(b"GET /health HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
        application.go.set()
        done = [await wire.rest() for wire in busy]
        after = await server.send(b"GET /data HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")

    assert status(refused) == 503
    assert b'"code": "overloaded"' in refused
    assert b"retry-after: " in refused
    assert status(health) == 200
    assert [status(answer) for answer in done] == [200, 200, 200]
    assert status(after) == 200
