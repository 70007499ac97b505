"""How the read side reads: from one snapshot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import psycopg

from kasparro.core.database import Database


@asynccontextmanager
async def snapshot(database: Database) -> AsyncIterator[psycopg.AsyncConnection[Any]]:
    """A connection on which every statement sees the same committed state, and none can write."""
    async with database.driver_transaction() as connection:
        await connection.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ, READ ONLY")
        yield connection
