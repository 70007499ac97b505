"""Reads all records of a query from one snapshot, one after the other, whatever their number: rows come as PostgreSQL sends them.

It has connections of its own, a few: an export may take long, and must not keep anybody from reading a page. `services.export`
makes files of what comes.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from psycopg import AsyncCopy

from kasparro.core.database import Database
from kasparro.schemas.export import Formulas, columns_of
from kasparro.schemas.query import Field, Kind, RecordQuery
from kasparro.storage.export_statements import columns_statement, csv_statement, ndjson_statement
from kasparro.storage.query_page import Statement
from kasparro.storage.reading import IN_ORDER

Row = tuple[Any, ...]


class Exports:
    """Every record that a query finds. Raises `DatabaseUnavailable` when as many exports as may are going on.

    Whoever stops reading closes the generator; the statement is then cancelled on the server.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    async def json_lines(self, query: RecordQuery) -> AsyncGenerator[bytes, None]:
        async with self._copying(query, ndjson_statement(query)) as copy:
            async for line in copy:
                yield bytes(line)

    async def csv_lines(self, query: RecordQuery, formulas: Formulas) -> AsyncGenerator[bytes, None]:
        """Lines that end with CR LF, as RFC 4180 wants it."""
        async with self._copying(query, csv_statement(query, formulas)) as copy:
            async for line in copy:
                yield bytes(line[:-1]) + b"\r\n"

    async def rows(self, query: RecordQuery) -> AsyncGenerator[Row, None]:
        """Values in the order of `columns_of`: ids are numbers, all else is text or None."""
        async with self._copying(query, columns_statement(query)) as copy:
            copy.set_types(["int8" if field.kind is Kind.INTEGER else "text" for field in columns_of(query)])
            async for row in copy.rows():
                yield row

    @asynccontextmanager
    async def _copying(self, query: RecordQuery, statement: Statement) -> AsyncIterator[AsyncCopy]:
        async with self._database.driver_transaction() as connection, connection.cursor() as cursor:
            if by_an_index(query):
                await cursor.execute(IN_ORDER)
            async with cursor.copy(statement.text, statement.values) as copy:
                yield copy


def by_an_index(query: RecordQuery) -> bool:
    """Whether an index has all that is asked for in the order asked for: then the first record need not wait for the last."""
    return query.only_source and all(key.field == Field("id") for key in query.sort_keys())
