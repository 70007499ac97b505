"""Reads the unified dataset: the page that a `RecordQuery` asks for, or one record.

Records leave as the JSON text that PostgreSQL made of them, never as Python numbers or datetimes: every digit survives. A row
that is no record (only a change by hand can make one) has no text, and spoils nothing but itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import psycopg

from kasparro.core.database import Database
from kasparro.schemas.query import Count, Position, RecordQuery, SearchMode
from kasparro.storage.database_identity import identity_of
from kasparro.storage.query_page import (
    PageColumns,
    Statement,
    counted,
    estimate_statement,
    page_statement,
    record_statement,
)
from kasparro.storage.query_search import LIKENESS
from kasparro.storage.reading import snapshot

Connection = psycopg.AsyncConnection[Any]


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A stored record; `record` is its JSON object as text, `None` when it cannot be told. `keys` are its sort keys in a page."""

    id: int
    source: str
    record: str | None
    keys: tuple[str | None, ...] = ()


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """Records in the order asked for, and how many there are without limit and offset; both of one snapshot.

    `next` is where the next page begins, if there is one. `facets` is a JSON object as text. `mode` and `sources` say how and
    where was searched, if that was asked.
    """

    rows: Sequence[DatasetRow]
    total: int | None
    count: Count
    next: Position | None = None
    facets: str | None = None
    mode: SearchMode | None = None
    sources: Sequence[str] = ()


class Dataset:
    """The read side of `normalized_data`."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._identity = ""

    async def identity(self) -> str:
        """What tells the database from all others. Raises `StorageError`."""
        if not self._identity:
            async with self._database.statements() as connection:
                self._identity = await identity_of(connection)
        return self._identity

    async def page(self, query: RecordQuery) -> DatasetPage:
        several = query.search is not None or query.count is Count.ESTIMATED
        transaction = snapshot(self._database) if several else self._database.statements()
        async with transaction as connection:
            mode = query.after.mode if query.after else SearchMode.WORDS
            rows = await _rows(connection, page_statement(query, mode), mode)
            if (
                query.search is not None
                and query.after is None
                and await _finds_nothing(connection, query, rows)
            ):
                mode = SearchMode.SIMILAR
                rows = await _rows(connection, page_statement(query, mode), mode)
            page = _page(query, mode, rows)
            if query.after is None and page.count is Count.ESTIMATED:
                page = replace(page, total=await _estimate(connection, query, mode))
        return _with_next(query, mode, page, rows)

    async def record(self, record_id: int) -> DatasetRow | None:
        async with self._database.statements() as connection:
            rows = await _rows(connection, record_statement(record_id))
        return DatasetRow(record_id, rows[0].source, rows[0].record) if rows else None


async def _rows(
    connection: Connection, statement: Statement, mode: SearchMode = SearchMode.WORDS
) -> list[PageColumns]:
    if mode is SearchMode.SIMILAR:
        await connection.execute(LIKENESS)
    cursor = await connection.execute(statement.text, statement.values)
    return [PageColumns(*row) for row in await cursor.fetchall()]


async def _finds_nothing(connection: Connection, query: RecordQuery, rows: Sequence[PageColumns]) -> bool:
    """Whether a search has no hits at all; an empty page may only lie behind the last one."""
    if rows[0].id is not None:
        return False
    if query.offset == 0:
        return True
    first = replace(query, limit=1, offset=0, count=Count.NONE, facets=())
    return (await _rows(connection, page_statement(first)))[0].id is None


async def _estimate(connection: Connection, query: RecordQuery, mode: SearchMode) -> int:
    statement = estimate_statement(query, mode)
    row = await (await connection.execute(statement.text, statement.values)).fetchone()
    assert row is not None  # noqa: S101  # EXPLAIN has an answer
    return int(row[0][0]["Plan"]["Plan Rows"])


def _page(query: RecordQuery, mode: SearchMode, rows: Sequence[PageColumns]) -> DatasetPage:
    first = rows[0]
    found = [
        DatasetRow(row.id, row.source, row.record, tuple(row.keys)) for row in rows if row.id is not None
    ]
    after = query.after
    return DatasetPage(
        rows=found[: query.limit],
        total=after.total if after else first.total,
        count=after.count if after else counted(query),
        facets=first.facets,
        mode=None if query.search is None else mode,
        sources=json.loads(first.sources) if first.sources else (),
    )


def _with_next(
    query: RecordQuery, mode: SearchMode, page: DatasetPage, rows: Sequence[PageColumns]
) -> DatasetPage:
    if len(rows) <= query.limit:
        return page
    keys = tuple(rows[query.limit - 1].keys)
    return replace(page, next=Position(keys, mode, page.total, page.count))
