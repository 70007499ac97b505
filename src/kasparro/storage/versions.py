"""Where every source stands, read from the commits themselves: what an answer is as of, and whether one that is kept still holds.

`Versions.current` is never older than the moment it is asked, so whoever was told of a commit is answered from it. One question
to the database serves all who asked before it was sent: under load there is one under way at a time, however many wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Mapping
from contextvars import Context
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property, partial
from typing import Any, Final

import msgspec
from psycopg import AsyncConnection

from kasparro.core.database import Database
from kasparro.core.database_time import METER
from kasparro.core.errors import DatabaseUnavailable, StorageError
from kasparro.core.round_trips import RoundTrips

QUESTION: Final = """
SELECT to_char(now() AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"'), (
    SELECT json_agg(json_build_array(
        source, concat_ws('.', c.id, c.version, c.record_count, coalesce(extract(epoch FROM c.changed_at), 0),
                          coalesce(c.search_language, '-')),
        c.changed_at, t.last_success
    ) ORDER BY source)::text
    FROM etl_checkpoint AS c LEFT JOIN etl_totals AS t USING (source)
)
"""
"""All that decides what is answered changes in the transaction that changes the data: the row of the source in `etl_checkpoint`.

`id` tells a source that was forgotten and came again from the one before, `changed_at` a version after a restored backup from the
one that had its number.
"""


class SourceState(msgspec.Struct, frozen=True, array_like=True):
    """`stamp` is another one after each commit that changed what is answered of the source."""

    source: str
    stamp: str
    changed_at: datetime | None
    last_success: datetime | None


@dataclass(frozen=True)
class DatasetState:
    """Every source as of a moment: whatever was committed before `as_of` is in it. `whole` is the stamp of all together.

    `as_of_text` is that moment as answers have it (RFC 3339).
    """

    as_of_text: bytes
    sources: Mapping[str, SourceState]
    whole: str

    def stamp(self, source: str | None) -> str:
        """Of one source, or of all together. A source that was never ingested has none."""
        if source is None:
            return self.whole
        state = self.sources.get(source)
        return state.stamp if state else ""

    def changed_at(self, source: str | None) -> datetime | None:
        """When it last changed: of one source, or of all together."""
        if source is None:
            return max((s.changed_at for s in self.sources.values() if s.changed_at), default=None)
        state = self.sources.get(source)
        return state.changed_at if state else None

    @cached_property
    def as_of(self) -> datetime:
        return datetime.fromisoformat(self.as_of_text.decode())


LINGER_SECONDS: Final = 0.02
STATES: Final = msgspec.json.Decoder(tuple[SourceState, ...])


Told = Callable[[DatasetState | StorageError], None]


class Versions:
    """Asks *database*, which is best one of its own: what is kept can be answered while every other connection is busy."""

    def __init__(self, database: Database) -> None:
        self.database = database
        self._waiting: list[Told] = []
        self._asked_for: list[Told] = []
        """Those for whom a question is under way."""
        self._asking: asyncio.Task[None] | None = None
        self._called: asyncio.Future[None] | None = None
        """Is there while the connection is held for whoever may come."""
        self._trips: RoundTrips | None = None
        self._text: bytes | None = None
        self._sources: Mapping[str, SourceState] = {}
        self._whole = ""
        self.asked = 0
        """Questions so far."""

    async def current(self) -> DatasetState:
        """The state of the dataset at some moment after this call. Raises `StorageError`."""
        answer: asyncio.Future[DatasetState] = asyncio.get_running_loop().create_future()
        with METER.get():
            self.ask(partial(_settle, answer))
            return await answer

    def ask(self, told: Told) -> None:
        """The same, *told* once it is known, or why it is not."""
        self._waiting.append(told)
        if self._asking is None:
            # A context of its own: it is nobody's request in particular.
            self._asking = asyncio.create_task(self._ask(), name="dataset versions", context=Context())
        elif self._called is not None:
            _wake(self._called)

    async def close(self) -> None:
        if self._asking is not None:
            await asyncio.wait({self._asking})
        await self.database.close()

    async def _ask(self) -> None:
        """Ask for all who wait, until nobody does."""
        try:
            while self._waiting:
                try:
                    async with self.database.statements() as connection:
                        await self._ask_on(connection)
                except StorageError as error:
                    self._tell(error)
        finally:
            self._asking = None
            while self._asked_for or self._waiting:
                self._tell(DatabaseUnavailable("the versions were not read"))

    async def _ask_on(self, connection: AsyncConnection[Any]) -> None:
        """Whoever comes while a question is under way waits for the next one."""
        if self._trips is None or self._trips.connection is not connection:
            self._trips = await RoundTrips.prepared(connection, QUESTION, self.database.deadline)
        with self._trips as trips:
            while self._waiting or (await self._somebody_comes() and not trips.over):
                self._asked_for, self._waiting = self._waiting, []
                self.asked += 1
                row = await trips.ask()
                self._tell(self._state(row.get_value(0, 0) or b"", row.get_value(0, 1)))

    async def _somebody_comes(self) -> bool:
        """Under load the next one comes at once; to give the connection back meanwhile would be most of the work."""
        loop = asyncio.get_running_loop()
        self._called = loop.create_future()
        enough = loop.call_later(LINGER_SECONDS, _wake, self._called)
        await self._called
        enough.cancel()
        self._called = None
        return bool(self._waiting)

    def _tell(self, outcome: DatasetState | StorageError) -> None:
        """Those for whom was asked; where it did not come to that, all who wait."""
        if not self._asked_for:
            self._asked_for, self._waiting = self._waiting, []
        told, self._asked_for = self._asked_for, []
        asyncio.get_running_loop().call_soon(_tell_each, deque(told), outcome)

    def _state(self, now: bytes, text: bytes | None) -> DatasetState:
        if text != self._text:
            states = STATES.decode(text) if text else ()
            self._text, self._sources = text, {one.source: one for one in states}
            self._whole = " ".join(f"{one.source}:{one.stamp}" for one in states)
        return DatasetState(now, self._sources, self._whole)


def _tell_each(told: deque[Told], outcome: DatasetState | StorageError) -> None:
    """Whoever fails is no reason not to tell the others."""
    try:
        while told:
            told.popleft()(outcome)
    finally:
        if told:
            asyncio.get_running_loop().call_soon(_tell_each, told, outcome)


def _settle(answer: asyncio.Future[DatasetState], outcome: DatasetState | StorageError) -> None:
    if answer.done():  # whoever asked has gone
        return
    if isinstance(outcome, StorageError):
        answer.set_exception(outcome)
    else:
        answer.set_result(outcome)


def _wake(sleeping: asyncio.Future[None]) -> None:
    if not sleeping.done():
        sleeping.set_result(None)
