"""In which order the batches of a session are written and become visible, and at which dataset version: places in, turns out.

Batches are written together, each in a transaction of its own, and pass through the same stages one behind the other: while one
writes raw rows, the next writes dataset rows. So ids grow in the order of arrival, and no two get in each other's way at
the end of a table. What makes a batch visible (the checkpoint, the counters, the commit) waits until the one before is committed.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from enum import Enum, auto

from kasparro.schemas.ingest import Place


class Stage(Enum):
    """What is done by one batch at a time."""

    DATASET = auto()
    RAW = auto()
    COMMIT = auto()


class CommitOrder:
    """The places of one session. *committed* is the number of batches committed under its lease, *version* the dataset's."""

    def __init__(self, committed: int = 0, version: int = 0) -> None:
        self._next = committed
        self._past = dict.fromkeys(Stage, committed)
        self._version = version
        self._versions: dict[Place, int] = {}
        self._moved = asyncio.Condition()

    def next_place(self) -> Place:
        place = Place(self._next)
        self._next += 1
        return place

    def version_at(self, place: Place, *, changes: bool) -> int | None:
        """The dataset version that the batch at *place* makes; None when it *changes* nothing.

        Asked for in the order of the places. A place keeps its version however often its batch is tried; one that comes out as
        no change after all leaves a gap.
        """
        if not changes:
            return None
        if place not in self._versions:
            self._version += 1
            self._versions[place] = self._version
        return self._versions[place]

    @asynccontextmanager
    async def in_turn(self, stage: Stage, place: Place) -> AsyncIterator[None]:
        """Go through *stage* behind the batch before. One that fails here lets the others pass; trying again it need not wait."""
        await self._turn(stage, place)
        try:
            yield
        finally:
            await self._done(stage, place)

    async def turn(self, place: Place) -> None:
        """Wait until the batch before *place* is committed."""
        await self._turn(Stage.COMMIT, place)

    async def done(self, place: Place) -> None:
        """The batch at *place* is committed."""
        self._versions.pop(place, None)
        await self._done(Stage.COMMIT, place)

    async def _turn(self, stage: Stage, place: Place) -> None:
        async with self._moved:
            await self._moved.wait_for(lambda: self._past[stage] >= place)

    async def _done(self, stage: Stage, place: Place) -> None:
        async with self._moved:
            self._past[stage] = max(self._past[stage], place + 1)
            self._moved.notify_all()
