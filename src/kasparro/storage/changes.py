"""Reads what is new and changed in the dataset, in commit order of each source, from any position on.

The feed is a compacted one: it is made of the records themselves, so it goes back to the beginning and needs no log. A record
that changed twice since a position is told once, as it is now. None is lost and none comes twice: a change moves its record
behind every position that was told before, and a version is visible as a whole or not at all.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import psycopg

from kasparro.core.database import Database
from kasparro.schemas.changes import Change, Changed, ChangeOp, FeedPosition, Head, Place
from kasparro.schemas.query import RecordQuery
from kasparro.storage.change_statements import (
    ChangeColumns,
    heads_statement,
    walk_bound_statement,
    walk_statement,
    window_statement,
)
from kasparro.storage.query_page import Statement
from kasparro.storage.reading import snapshot

Connection = psycopg.AsyncConnection[Any]

SCANNED: Final = 5_000
"""Most records that one statement of a walk looks at, however few of them are asked for."""

MOST_STEPS: Final = 32
"""Statements of one answer. Filters that let nothing through must not keep it: it says that there is more."""


class Changes:
    """The feed side of `normalized_data`."""

    def __init__(self, database: Database, scanned: int = SCANNED) -> None:
        self._database = database
        self._scanned = scanned

    async def now(self, query: RecordQuery) -> FeedPosition:
        """The position behind all there is, for a follower that wants to hear only of what comes."""
        async with self._database.driver_transaction() as connection:
            heads = await _heads(connection, query)
        return FeedPosition(whole=False, places={name: Place.end(head) for name, head in heads.items()})

    async def read(self, query: RecordQuery, position: FeedPosition, limit: int) -> Changed:
        """At most *limit* changes behind *position*, all as of one moment."""
        async with snapshot(self._database) as connection:
            heads = await _heads(connection, query)
            notices = _lost(position, heads)
            after = position
            for notice in notices:
                after = after.moved(notice.source, notice.place)
            changes = list(notices)
            steps = MOST_STEPS
            for source, head in heads.items():
                walker = Walker(connection, query, source, head, self._scanned)
                place = after.places.get(source) or Place.beginning(head)
                while not place.reaches(head) and len(changes) < limit and steps:
                    steps -= 1
                    found, place = await walker.step(place, limit - len(changes))
                    changes += found
                after = after.moved(source, place)
        more = any(not after.places[source].reaches(head) for source, head in heads.items())
        return Changed(position, changes, after, more)


@dataclass(slots=True)
class Walker:
    """Goes through one source. What it looks at between versions doubles while it finds little."""

    connection: Connection
    query: RecordQuery
    source: str
    head: Head
    scanned: int
    window: int = 1

    async def step(self, place: Place, room: int) -> tuple[Sequence[Change], Place]:
        """The next changes behind *place*, and the place behind them."""
        if place.walking:
            return await self._walk(place, room)
        last = min(place.version + self.window, self.head.version)
        self.window *= 2
        rows = await self._rows(window_statement(self.query, self.source, place, last, room))
        changes = [self._change(row, Place(self.head.epoch, row.version, row.id)) for row in rows]
        full = len(rows) == room
        end = changes[-1].place if full else Place(self.head.epoch, last)
        assert end is not None  # noqa: S101  # a change of a record has its place
        return changes, end

    async def _walk(self, place: Place, room: int) -> tuple[Sequence[Change], Place]:
        rows = await self._rows(walk_statement(self.query, self.source, place, self.scanned, room))
        changes = [self._change(row, Place(place.epoch, place.version, row.id, walking=True)) for row in rows]
        last = rows[-1].id if len(rows) == room else await self._last_looked_at(place)
        if last is None:
            return changes, Place(place.epoch, place.version)
        return changes, Place(place.epoch, place.version, last, walking=True)

    async def _last_looked_at(self, place: Place) -> int | None:
        statement = walk_bound_statement(self.source, place, self.scanned)
        row = await (await self.connection.execute(statement.text, statement.values)).fetchone()
        return row[0] if row else None

    async def _rows(self, statement: Statement) -> list[ChangeColumns]:
        cursor = await self.connection.execute(statement.text, statement.values)
        return [ChangeColumns(*row) for row in await cursor.fetchall()]

    def _change(self, row: ChangeColumns, place: Place) -> Change:
        op = ChangeOp.UPSERT if row.met else ChangeOp.DELETE
        return Change(op, self.source, place, row.version, row.id, row.source_id, row.record)


async def _heads(connection: Connection, query: RecordQuery) -> Mapping[str, Head]:
    statement = heads_statement(query)
    rows = await (await connection.execute(statement.text, statement.values)).fetchall()
    return {source: Head(epoch, version) for source, epoch, version in rows}


def _lost(position: FeedPosition, heads: Mapping[str, Head]) -> list[Change]:
    """Sources that are no longer, or no longer where they were: forgotten, or restored from a backup.

    A follower of everything begins such a source anew; one that hears only of what comes goes on at its end.
    """
    notices = []
    for source, place in sorted(position.places.items()):
        head = heads.get(source)
        if head is not None and head.epoch == place.epoch and head.version >= place.version:
            continue
        if position.whole:
            begin = Place.beginning(head) if head else None
            notices.append(Change(ChangeOp.RESET, source, begin))
        else:
            notices.append(Change(ChangeOp.GAP, source, Place.end(head) if head else None))
    return notices
