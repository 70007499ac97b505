"""What is stored of a source, for those who only look: nothing here takes a lease, and no transaction can write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from psycopg import sql

from kasparro.core.database import Database
from kasparro.schemas.ingest import Cursor, Keyed, RunId, SourceKind, SourceName, Stored
from kasparro.storage import writes
from kasparro.storage.leases import Lease
from kasparro.storage.lookup import known
from kasparro.storage.raw_tables import RAW_TABLES
from kasparro.storage.reading import snapshot

NO_RUN: Final = RunId("")
"""The run of those who look: nothing was ever stored by it."""

SAMPLE = """
SELECT {group}, raw_data::text FROM {table} WHERE source = %(source)s AND deleted_at IS NULL
ORDER BY external_id LIMIT %(limit)s
"""


class PostgresStoredData:
    """See `services.dry_run.StoredData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self, source: SourceName) -> Cursor | None:
        async with snapshot(self._database) as connection:
            cursor, _ = await writes.checkpoint(connection, source)
            return cursor

    async def known(
        self, source: SourceName, kind: SourceKind, records: Sequence[Keyed], *, payloads: bool = False
    ) -> Stored:
        never_taken = Lease(source, NO_RUN, token=0, seconds=0)
        async with snapshot(self._database) as connection:
            return await known(connection, RAW_TABLES[kind], never_taken, records, payloads=payloads)

    async def sample(self, source: SourceName, kind: SourceKind, limit: int) -> list[tuple[str, bytes]]:
        table = RAW_TABLES[kind]
        named = "stream" in table.place_columns
        statement = sql.SQL(SAMPLE).format(
            group=sql.Identifier("stream") if named else sql.Literal(""), table=sql.Identifier(table.name)
        )
        async with snapshot(self._database) as connection:
            found = await connection.execute(statement, {"source": source, "limit": limit})
            return [(group, text.encode()) for group, text in await found.fetchall()]
