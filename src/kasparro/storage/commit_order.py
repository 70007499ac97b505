"""In which order the batches of a session become visible, and at which dataset version: places in, turns out.

Batches are written together, each in a transaction of its own. What makes one visible (the checkpoint, the counters, the commit)
happens in its turn, when the one before is committed.
"""

from __future__ import annotations

import asyncio

from kasparro.schemas.ingest import Place


class CommitOrder:
    """The places of one session. *committed* is the number of batches committed under its lease, *version* the dataset's."""

    def __init__(self, committed: int = 0, version: int = 0) -> None:
        self._next = committed
        self._committed = committed
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

    async def turn(self, place: Place) -> None:
        """Wait until the batch before *place* is committed."""
        async with self._moved:
            await self._moved.wait_for(lambda: self._committed >= place)

    async def done(self, place: Place) -> None:
        """The batch at *place* is committed."""
        async with self._moved:
            self._committed = place + 1
            self._versions.pop(place, None)
            self._moved.notify_all()
