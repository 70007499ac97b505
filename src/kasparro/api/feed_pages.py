"""Pages of the feed that streams read to get to its head: each is read once for all who are at the same place.

    position -> Pages -> one reading for all who ask for it, of few at a time -> Batch

What was told behind a position at one moment may be told to whoever is there a moment later: what changed meanwhile comes behind
it. So a page is kept for some seconds. Only that there is nothing more may not be true any longer: whoever hears that looks where
the head is. `api.feed` asks.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Final

from kasparro.api.change_events import event_bytes
from kasparro.schemas.changes import Changed, FeedPosition, Place
from kasparro.schemas.query import RecordQuery
from kasparro.storage.changes import Changes

BATCH: Final = 100
"""Changes that are read at once."""
READERS: Final = 2
"""Pages that are read at a time: what streams catch up with must not keep the database from others."""
KEPT_SECONDS: Final = 5.0
ROOM: Final = 16 << 20
"""Bytes of the pages that are kept."""
OVERHEAD: Final = 600
"""Bytes of a change beside its record."""

Key = tuple[str, bool, frozenset[tuple[str, Place]]]


@dataclass(frozen=True)
class Batch:
    """What was read, by a channel for all its streams or as a page; and the same as events, made once."""

    query: RecordQuery
    changed: Changed

    @cached_property
    def events(self) -> bytes:
        return event_bytes(self.query, self.changed)

    @property
    def size(self) -> int:
        """About how many bytes it takes: each record is in it twice."""
        return OVERHEAD + sum(2 * len(change.record or "") + OVERHEAD for change in self.changed.changes)


def asked_by(query: RecordQuery) -> str:
    """What is the same for two queries that ask for the same. They may be equal and do not: to Python, true is 1."""
    return repr(query)


@dataclass(slots=True, eq=False)
class Page:
    """One that is read, or was and is kept until it expires. It is cancelled when nobody waits for it any more."""

    reading: asyncio.Task[Batch]
    waiting: int = 0
    size: int = 0
    expiry: asyncio.TimerHandle | None = None


class Pages:
    """What is kept takes at most *room* bytes, for *seconds*."""

    def __init__(self, changes: Changes, room: int = ROOM, seconds: float = KEPT_SECONDS) -> None:
        self._changes = changes
        self._room = room
        self._seconds = seconds
        self._readers = asyncio.Semaphore(READERS)
        self._read: dict[Key, Page] = {}
        self._kept: dict[Key, Page] = {}
        self.bytes = 0

    @contextmanager
    def behind(self, query: RecordQuery, position: FeedPosition) -> Iterator[asyncio.Task[Batch]]:
        """The reading of the page behind *position*, to be waited for within the block. It may raise `StorageError`."""
        key = (asked_by(query), position.whole, frozenset(position.places.items()))
        page = self._kept.get(key) or self._read.get(key)
        if page is None:
            reading = asyncio.create_task(self._batch(query, position), name="page of the feed")
            page = self._read[key] = Page(reading)
            reading.add_done_callback(partial(self._done, key, page))
        page.waiting += 1
        try:
            yield page.reading
        finally:
            page.waiting -= 1
            if not page.waiting and not page.reading.done():
                del self._read[key]
                page.reading.cancel()

    async def close(self) -> None:
        readings = [page.reading for page in self._read.values()]
        for reading in readings:
            reading.cancel()
        if readings:
            await asyncio.wait(readings)
        for key in list(self._kept):
            self._drop(key)

    async def _batch(self, query: RecordQuery, position: FeedPosition) -> Batch:
        async with self._readers:
            return Batch(query, await self._changes.read(query, position, BATCH))

    def _done(self, key: Key, page: Page, reading: asyncio.Task[Batch]) -> None:
        """Keep the page, unless it could not be read."""
        failed = reading.cancelled() or reading.exception() is not None
        if self._read.get(key) is not page:
            return
        del self._read[key]
        if failed:
            return
        self._kept[key] = page
        page.size = reading.result().size
        page.expiry = asyncio.get_running_loop().call_later(self._seconds, self._drop, key)
        self.bytes += page.size
        while self.bytes > self._room:
            self._drop(next(iter(self._kept)))

    def _drop(self, key: Key) -> None:
        page = self._kept.pop(key)
        self.bytes -= page.size
        if page.expiry is not None:
            page.expiry.cancel()
