"""The API behind the server it is deployed with, on a free port of loopback; and bytes sent to it as they are."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import anyio

from kasparro.core.http_protocol import ServerLimits
from kasparro.core.http_server import listen, serve

PATIENCE = 30


@dataclass(frozen=True)
class Live:
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @contextlib.asynccontextmanager
    async def connect(self) -> AsyncIterator[Wire]:
        reader, writer = await asyncio.open_connection("127.0.0.1", self.port)
        try:
            yield Wire(reader, writer)
        finally:
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def send(self, request: bytes) -> bytes:
        """Everything that comes back until the server closes."""
        async with self.connect() as wire:
            await wire.write(request)
            return await wire.rest()


@dataclass(frozen=True)
class Wire:
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def write(self, data: bytes) -> None:
        self.writer.write(data)
        with contextlib.suppress(ConnectionError):
            await self.writer.drain()

    async def rest(self) -> bytes:
        """What comes until the end of the connection, whichever way it ends."""
        received = b""
        with anyio.fail_after(PATIENCE):
            try:
                while chunk := await self.reader.read(65536):
                    received += chunk
            except ConnectionError:
                pass
        return received

    async def answer(self) -> bytes:
        """The head of one answer."""
        with anyio.fail_after(PATIENCE):
            return await self.reader.readuntil(b"\r\n\r\n")


@contextlib.asynccontextmanager
async def live(application: Any, limits: ServerLimits | None = None) -> AsyncIterator[Live]:
    stop, ready = asyncio.Event(), asyncio.Event()
    with listen("127.0.0.1", 0) as listener:
        port = listener.getsockname()[1]
        serving = asyncio.create_task(serve(application, listener, stop, ready.set, limits))
        await ready.wait()
        try:
            yield Live(port)
        finally:
            stop.set()
            await serving


def status(answer: bytes) -> int:
    return int(answer.split(maxsplit=2)[1])
