"""A server that speaks HTTP as badly as it is told, on a real socket: a script that answers requests in, a log of what was asked out.

Written on plain sockets, since a web framework does not send what is wrong: bodies that are cut, lengths that lie, bytes that come
one by one. What is not told to misbehave is proper HTTP/1.1 with connections that are kept.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit


@dataclass(frozen=True, slots=True)
class Asked:
    """One request. `at` is the second of a steady clock at which it had come."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes
    at: float

    @property
    def path(self) -> str:
        return urlsplit(self.target).path

    @property
    def query(self) -> dict[str, str]:
        return dict(parse_qsl(urlsplit(self.target).query, keep_blank_values=True))

    def number(self, name: str, otherwise: int) -> int:
        return int(self.query.get(name, otherwise))

    @property
    def text(self) -> str:
        """All that was sent, to look for what must not be."""
        return f"{self.method} {self.target} {self.headers} {self.body!r}"


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send. `cut`: only so many bytes of the body, then the connection ends, by a reset if `reset`."""

    body: bytes = b""
    status: int = 200
    headers: tuple[tuple[str, str], ...] = ()
    kind: str = "application/json"
    framing: Literal["length", "chunked", "close"] = "length"
    cut: int | None = None
    reset: bool = False
    drip: float | None = None
    """Seconds between two bytes of the body."""

    def but(self, **changes: Any) -> Answer:
        return replace(self, **changes)

    def head(self) -> bytes:
        framing = {
            "length": f"Content-Length: {len(self.body)}\r\n",
            "chunked": "Transfer-Encoding: chunked\r\n",
            "close": "Connection: close\r\n",
        }[self.framing]
        if self.status in {204, 304}:
            framing = ""
        kind = f"Content-Type: {self.kind}\r\n" if self.kind else ""
        lines = "".join(f"{name}: {value}\r\n" for name, value in self.headers)
        return f"HTTP/1.1 {self.status} Said\r\n{kind}{framing}{lines}\r\n".encode("latin-1")


@dataclass(frozen=True, slots=True)
class Raw:
    """Bytes sent as they are, before the connection ends."""

    content: bytes = b""
    reset: bool = False


Script = Callable[[Asked], Answer | Raw]


def said(content: Any, status: int = 200, **headers: str) -> Answer:
    """*content* as JSON; of the names of headers `_` becomes `-`."""
    named = tuple((name.replace("_", "-"), value) for name, value in headers.items())
    return Answer(json.dumps(content).encode(), status, named)


@dataclass(slots=True)
class Upstream:
    """Where it is, and what it was asked."""

    script: Script
    url: str = ""
    asked: list[Asked] = field(default_factory=list)

    @property
    def targets(self) -> list[str]:
        return [asked.target for asked in self.asked]

    async def serve_connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            while await self._one(reader, writer):
                pass

    async def _one(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> bool:
        """One request and its answer; whether the connection goes on."""
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
        first, *lines = head.strip().split("\r\n")
        method, target, _ = first.split(" ", 2)
        headers = {
            name.strip().lower(): value.strip() for name, _, value in (x.partition(":") for x in lines)
        }
        body = await reader.readexactly(int(headers.get("content-length", "0")))
        self.asked.append(Asked(method, target, headers, body, time.monotonic()))
        answer = self.script(self.asked[-1])
        if isinstance(answer, Raw):
            writer.write(answer.content)
            await writer.drain()
            ends, resets = True, answer.reset
        else:
            await _send(answer, writer)
            ends = answer.framing == "close" or answer.cut is not None or answer.reset
            resets = answer.reset
        if resets:
            writer.transport.abort()
        return not ends


async def _send(answer: Answer, writer: asyncio.StreamWriter) -> None:
    writer.write(answer.head())
    body = answer.body if answer.cut is None else answer.body[: answer.cut]
    if answer.drip is not None:
        for at in range(len(body)):
            writer.write(body[at : at + 1])
            await writer.drain()
            await asyncio.sleep(answer.drip)
    elif answer.framing == "chunked":
        half = len(body) // 2
        for piece in (body[:half], body[half:]):
            if piece:
                writer.write(b"%x\r\n%s\r\n" % (len(piece), piece))
        if answer.cut is None:
            writer.write(b"0\r\n\r\n")
    else:
        writer.write(body)
    await writer.drain()


@contextlib.asynccontextmanager
async def serve(script: Script) -> AsyncIterator[Upstream]:
    upstream = Upstream(script)
    under_way: set[asyncio.Task[Any]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        under_way.add(task)
        try:
            await upstream.serve_connection(reader, writer)
        except asyncio.CancelledError:
            pass  # the test is over
        finally:
            under_way.discard(task)
            writer.close()
            with contextlib.suppress(ConnectionError, asyncio.CancelledError):
                await writer.wait_closed()

    server = await asyncio.start_server(connected, "127.0.0.1", 0)
    upstream.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
    try:
        yield upstream
    finally:
        server.close()
        for task in list(under_way):
            task.cancel()
        await asyncio.gather(*under_way, return_exceptions=True)


@contextlib.contextmanager
def serving(script: Script) -> Iterator[Upstream]:
    """The same from a thread of its own, for commands that have the event loop of this one."""
    loop = asyncio.new_event_loop()
    thread = threading.Thread(target=loop.run_forever)
    thread.start()
    served = serve(script)
    try:
        yield asyncio.run_coroutine_threadsafe(served.__aenter__(), loop).result(10)
    finally:
        asyncio.run_coroutine_threadsafe(served.__aexit__(None, None, None), loop).result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)
        loop.close()
