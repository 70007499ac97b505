"""Batches on their way into the database: hauls in, commits out, several at work at once and each in its turn.

While one batch is written, the next is written beside it on a connection of its own, and the one after that is looked up and
normalised. They become visible in the order in which they were fetched; a batch that shares a key with one still under way
waits for it. In a crowd, where others want the processors as well, each is written before the next one is looked at: readers
then wait for a load by moments, and it is hardly slower. Called by `runner`.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType
from typing import Final, Self

from kasparro.core.errors import KeysTaken, RecordRefused
from kasparro.ingestion.batching import Haul
from kasparro.ingestion.drift.telling import frozen
from kasparro.ingestion.drift.watch import Watched
from kasparro.ingestion.ports import IngestSession
from kasparro.ingestion.prepare import Identified, Recipe, identify, prepare
from kasparro.ingestion.run_thread import computed
from kasparro.schemas.ingest import Batch, Notice, Place, RunCounters, Stored

LANES: Final = 2
"""Batches being written at the same time. PostgreSQL spends more on a record than we do: two keep two processors busy."""


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """A batch that is being written."""

    keys: frozenset[str]
    task: asyncio.Task[None]


class Lanes:
    """The commits of one attempt of a run. Leaving the context waits for those under way; when cancelled, it cancels them."""

    def __init__(
        self,
        session: IngestSession,
        recipe: Recipe,
        committed: Callable[[RunCounters], None],
        lanes: int = LANES,
        tell: Callable[[Notice], None] = lambda _notice: None,
        crowded: Callable[[], bool] = lambda: False,
    ) -> None:
        self._session = session
        self._recipe = recipe
        self._committed = committed
        self._lanes = lanes
        self._tell = tell
        self._crowded = crowded
        self._under_way: deque[_UnderWay] = deque()
        self._failed = False

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if not (self._failed or isinstance(error, asyncio.CancelledError)):
                await self._until(lambda: not self._under_way)
        finally:
            await self._give_up()

    async def take(self, haul: Haul) -> None:
        """Prepare *haul* and begin to write it; returns as soon as the next one may come. Raises what stopped a batch."""
        identified = await computed(identify, self._recipe, haul)
        if identified.watched.frozen:
            await self._freeze(identified.watched)
        await self._until(lambda: all(batch.keys.isdisjoint(identified.keys) for batch in self._under_way))
        stored = await self._known(identified)
        batch = await computed(prepare, self._recipe, haul, identified, stored)
        await self._until(lambda: len(self._under_way) < self._lanes)
        writing = self._write(self._session.next_place(), batch, haul, identified, stored)
        self._under_way.append(_UnderWay(identified.keys, asyncio.create_task(writing, name="commit")))
        if self._crowded():
            await self._until(lambda: not self._under_way)

    async def _freeze(self, watched: Watched) -> None:
        """Commit what was found after all batches before, and nothing of the batch that shows it. Raises `SchemaFrozen`."""
        await self._until(lambda: not self._under_way)
        found = Batch(replay=True, drift=watched.step, notices=watched.notices)
        await self._session.commit(self._session.next_place(), found)
        for notice in watched.notices:
            self._tell(notice)
        raise frozen(self._recipe.watch.source, watched.step.drifts)

    async def _write(
        self, place: Place, batch: Batch, haul: Haul, identified: Identified, stored: Stored
    ) -> None:
        """Commit *batch*; without what the database refuses, and with what was stored after all."""
        recipe, looked_again = self._recipe, False
        while True:
            try:
                counters = await self._session.commit(place, batch)
                break
            except RecordRefused as error:
                if not error.records:
                    raise
                recipe = recipe.without(error.records)
            except KeysTaken:
                # Twice: it is not the key that is taken, but a unique index of somebody else's, or a defect.
                if looked_again:
                    raise
                looked_again = True
                stored = await self._known(identified)
            batch = await computed(prepare, recipe, haul, identified, stored)
        self._committed(counters)
        for notice in batch.notices[len(haul.notices) :]:
            self._tell(notice)

    async def _known(self, identified: Identified) -> Stored:
        """What is stored, with its text where its version is to be read."""
        if self._recipe.version is None:
            return await self._session.known(identified.records)
        return await self._session.known(identified.records, payloads=True)

    async def _until(self, reached: Callable[[], bool]) -> None:
        """Wait for the oldest batch under way until *reached*. Its failure is the failure of all behind it."""
        self._raise_failure()
        while not reached():
            await asyncio.wait({self._under_way[0].task})
            self._raise_failure()

    def _raise_failure(self) -> None:
        while self._under_way and self._under_way[0].task.done():
            task = self._under_way.popleft().task
            # Those behind one that failed wait for a turn that never comes.
            self._failed = task.cancelled() or task.exception() is not None
            task.result()

    async def _give_up(self) -> None:
        tasks = [batch.task for batch in self._under_way]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
