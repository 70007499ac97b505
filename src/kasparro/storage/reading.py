"""How the read side reads: from one snapshot, and by the index that is meant."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any, Final

import psycopg

from kasparro.core.database import Database

IN_ORDER: Final = "SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off"
"""For what is read in the order of an index. Tables that were never analysed look small, and all of a table looks better read and
sorted: then the planner would rather do that than walk the index, and the first row comes after the last.
"""


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection on which every statement sees the same committed state, and none can write."""
    async with database.driver_transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection


def only_source(column: str, value: str = "%(source)s") -> str:
    """The condition that *column* is *value*, for a statement that orders by *column* and then by id.

    With a plain `=` PostgreSQL drops the column from the ordering and, believing that every source is spread evenly over the
    table, may walk along the primary key; the records of a source that came late are then behind all the others.
    """
    return f"{column} >= {value} AND {column} <= {value}"
