"""Where each source stands, and moving it: its checkpoint, dataset version and exact count."""

from __future__ import annotations

from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from kasparro.core.database import Database
from kasparro.core.errors import NotFound
from kasparro.schemas.data import CheckpointView
from kasparro.schemas.ingest import Cursor, SourceName
from kasparro.storage import leases


class Checkpoints:
    """The table `etl_checkpoint`, but for what a run writes to it."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def move(self, source: str, cursor: Cursor | None) -> None:
        """Let the next run resume after *cursor*; `None`: from the beginning. Nothing is deleted.

        Raises `LeaseHeld` while the source is being ingested, `NotFound` when it never was.
        """
        async with self._database.driver_transaction() as connection:
            await leases.refuse_if_held(connection, SourceName(source))
            moved = await connection.execute(MOVE, (None if cursor is None else Jsonb(dict(cursor)), source))
            if not moved.rowcount:
                raise NotFound(f"source {source!r} has no checkpoint", hint="It was never ingested")

    async def all(self) -> list[CheckpointView]:
        """Every checkpoint, by source name."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(CheckpointView)) as cursor,
        ):
            await cursor.execute(f"{SELECT} ORDER BY source")
            return await cursor.fetchall()

    async def of(self, source: str) -> CheckpointView | None:
        """The checkpoint of *source*; `None` when it has never been ingested."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(CheckpointView)) as cursor,
        ):
            await cursor.execute(f"{SELECT} WHERE source = %s", (source,))
            return await cursor.fetchone()


MOVE = (
    "UPDATE etl_checkpoint SET cursor = %s, status = 'idle', checkpoint_timestamp = now() WHERE source = %s"
)

SELECT = """
    SELECT source, status, last_processed_id, last_processed_timestamp, checkpoint_timestamp, cursor, version, record_count
    FROM etl_checkpoint
"""
