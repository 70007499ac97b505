"""A client of server-sent events for tests: reads a stream as the specification says, and knows where to go on."""

from __future__ import annotations

import asyncio
import json
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Stream:
    """A connection that is open. `last_id` is what a client sends as Last-Event-ID."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    status: int
    headers: dict[str, str]
    last_id: str | None = None
    comments: int = 0
    buffered: bytes = b""
    blocks: deque[dict[str, str]] = field(default_factory=deque)

    async def event(self) -> tuple[str, dict[str, Any]] | None:
        """The next event; None when the stream has ended."""
        while True:
            while not self.blocks:
                chunk = await self._chunk()
                if chunk is None:
                    return None
                self._take(chunk)
            fields = self.blocks.popleft()
            self.last_id = fields.get("id", self.last_id)
            if "data" in fields:
                return fields["event"], json.loads(fields["data"])

    async def opening(self) -> None:
        """Read what a stream begins with."""
        while self.last_id is None:
            self._take(await self._chunk() or b"")
            while self.blocks and "data" not in self.blocks[0]:
                self.last_id = self.blocks.popleft().get("id")

    async def comment(self) -> bool:
        """Read until a heartbeat has come; False when the stream ends before."""
        before = self.comments
        while self.comments == before:
            chunk = await self._chunk()
            if chunk is None:
                return False
            self._take(chunk)
        return True

    async def _chunk(self) -> bytes | None:
        size = await self.reader.readline()
        if not size.strip() or int(size, 16) == 0:
            return None
        chunk = await self.reader.readexactly(int(size, 16) + 2)
        return chunk[:-2]

    def _take(self, chunk: bytes) -> None:
        *blocks, self.buffered = (self.buffered + chunk).split(b"\n\n")
        for block in blocks:
            self._block(block.decode())

    def _block(self, block: str) -> None:
        fields = dict(line.split(": ", 1) for line in block.split("\n") if not line.startswith(":"))
        self.comments += block.startswith(":")
        self.blocks.append(fields)


@asynccontextmanager
async def stream(port: int, path: str = "/data/stream", last_id: str | None = None) -> AsyncIterator[Stream]:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    resume = f"Last-Event-ID: {last_id}\r\n" if last_id else ""
    writer.write(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{resume}\r\n".encode())
    try:
        head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
        headers = dict(line.lower().split(": ", 1) for line in head[1:] if line)
        yield Stream(reader, writer, int(head[0].split()[1]), headers)
    finally:
        writer.transport.abort()
