"""Answers kept in this process, each with the stamp of the state it was made from: bounded in bytes, the longest unused go first.

An answer is used only while its stamp is the current one, so a commit ends it by itself: nothing is ever thrown away because
somebody said so. The same answer is made once, however many wait for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

import msgspec

LARGEST_SHARE: Final = 8
"""An answer larger than this part of the room is not kept: it would drive out too many others."""
OVERHEAD: Final = 600
"""Bytes of an answer beside its text."""


class Kept(msgspec.Struct, frozen=True, array_like=True):
    """What all answers to one question have in common: text around what each says of itself.

    `cursor` goes on behind a page, `source` is the one of a record.
    """

    stamp: str
    before: bytes
    after: bytes
    cursor: str | None = None
    source: str | None = None

    @property
    def size(self) -> int:
        return len(self.before) + len(self.after) + len(self.stamp) + OVERHEAD


class AnswerCache:
    """*room* is in bytes; 0 keeps nothing."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.bytes = 0
        self.hits = 0
        self.misses = 0
        self.evicted = 0
        self._kept: OrderedDict[bytes, Kept] = OrderedDict()
        self._made: dict[tuple[bytes, str], asyncio.Task[Kept]] = {}

    def __len__(self) -> int:
        return len(self._kept)

    def peek(self, asked: bytes) -> Kept | None:
        """What is kept for *asked*, current or not."""
        return self._kept.get(asked)

    def get(self, asked: bytes, stamp: str) -> Kept | None:
        """The answer to *asked* from the state of *stamp*; counted as a hit or a miss."""
        kept = self.found(asked, stamp)
        if kept is None:
            self.misses += 1
        else:
            self.hits += 1
        return kept

    def found(self, asked: bytes, stamp: str) -> Kept | None:
        """The same, where nobody counts: a part of an answer that was counted."""
        kept = self._kept.get(asked)
        if kept is None or kept.stamp != stamp:
            return None
        self._kept.move_to_end(asked)
        return kept

    async def made(self, asked: bytes, stamp: str, make: Callable[[], Awaitable[Kept]]) -> Kept:
        """What *make* makes for *asked*, kept; who comes meanwhile waits for the same, and may go without ending it."""
        key = (asked, stamp)
        making = self._made.get(key)
        if making is None:
            making = self._made[key] = asyncio.ensure_future(self._make(key, make))
        return await asyncio.shield(making)

    def put(self, asked: bytes, kept: Kept) -> None:
        self._drop(asked)
        if kept.size * LARGEST_SHARE > self.room:
            return
        self._kept[asked] = kept
        self.bytes += kept.size
        while self.bytes > self.room:
            self.evicted += 1
            self._drop(next(iter(self._kept)))

    async def close(self) -> None:
        for making in list(self._made.values()):
            making.cancel()
        if self._made:
            await asyncio.wait(list(self._made.values()))

    async def _make(self, key: tuple[bytes, str], make: Callable[[], Awaitable[Kept]]) -> Kept:
        try:
            kept = await make()
        finally:
            del self._made[key]
        self.put(key[0], kept)
        return kept

    def _drop(self, asked: bytes) -> None:
        gone = self._kept.pop(asked, None)
        if gone is not None:
            self.bytes -= gone.size
