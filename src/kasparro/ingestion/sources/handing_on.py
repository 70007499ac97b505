"""Parts of large answers, on their way from the requests that receive them to the run that loads them.

A request waits until its part is taken, so of each answer one part is under way, however slow the database is.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import TypeVar

from kasparro.core.cancelling import cancelled
from kasparro.ingestion.sources.large_answers import HandOn, Part
from kasparro.ingestion.sources.places import Position

T = TypeVar("T")


class HandingOn:
    """By the position of the page; the one whose turn it is takes its parts."""

    def __init__(self) -> None:
        self._channels: dict[Position, Channel] = {}

    def to(self, at: Position) -> HandOn:
        """Where the request for the page at *at* leaves its parts."""
        return self._channel(at).put

    @asynccontextmanager
    async def taking(self, at: Position, answering: asyncio.Task[T]) -> AsyncGenerator[Channel]:
        """The parts of the page at *at* until *answering* ends; leaving earlier cancels it, and waits for its end."""
        channel = self._channel(at)
        channel.last_until(answering)
        try:
            yield channel
        finally:
            del self._channels[at]
            if not answering.done():
                await cancelled(answering)

    def _channel(self, at: Position) -> Channel:
        return self._channels.setdefault(at, Channel())


class Channel:
    """Holds one part."""

    def __init__(self) -> None:
        self._part: Part | None = None
        self._ready = asyncio.Event()
        self._free = asyncio.Event()
        self._free.set()
        self._ended = False

    async def put(self, part: Part) -> None:
        await self._free.wait()
        self._free.clear()
        self._part = part
        self._ready.set()

    async def next(self) -> Part | None:
        """The next part; `None` when there are no more."""
        await self._ready.wait()
        part, self._part = self._part, None
        self._free.set()
        if not self._ended:
            self._ready.clear()
        return part

    def last_until(self, answering: asyncio.Task[T]) -> None:
        answering.add_done_callback(self._end)

    def _end(self, _answering: asyncio.Task[T]) -> None:
        self._ended = True
        self._ready.set()
