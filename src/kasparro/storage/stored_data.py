"""What is stored of a source, for those who only look: nothing here takes a lease, and no transaction can write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kasparro.core.database import Database
from kasparro.schemas.ingest import Cursor, Keyed, RunId, SourceKind, SourceName, Stored
from kasparro.storage import drift, snapshots, writes
from kasparro.storage.leases import Lease
from kasparro.storage.lookup import known
from kasparro.storage.raw_tables import RAW_TABLES
from kasparro.storage.reading import IN_ORDER, snapshot

NO_RUN: Final = RunId("")
"""The run of those who look: nothing was ever stored by it."""


KEYS: Final = """
SELECT source_id FROM normalized_data WHERE source = %(source)s AND source_id > %(after)s ORDER BY source_id LIMIT %(limit)s
"""


class PostgresStoredData:
    """See `services.dry_run.StoredData`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def cursor(self, source: SourceName) -> Cursor | None:
        async with snapshot(self._database) as connection:
            cursor, _ = await writes.checkpoint(connection, source)
            return cursor

    async def complete(self, source: SourceName) -> bool:
        async with snapshot(self._database) as connection:
            return await snapshots.is_complete(connection, source)

    async def keys(self, source: SourceName, after: str) -> Sequence[str]:
        parameters = {"source": source, "after": after, "limit": snapshots.WINDOW}
        async with snapshot(self._database) as connection:
            await connection.execute(IN_ORDER)
            return [key for (key,) in await (await connection.execute(KEYS, parameters)).fetchall()]

    async def known(
        self, source: SourceName, kind: SourceKind, records: Sequence[Keyed], *, payloads: bool = False
    ) -> Stored:
        never_taken = Lease(source, NO_RUN, token=0, seconds=0)
        async with snapshot(self._database) as connection:
            return await known(connection, RAW_TABLES[kind], never_taken, records, payloads=payloads)

    async def shape(self, source: SourceName) -> bytes | None:
        async with snapshot(self._database) as connection:
            return await drift.read_shape(connection, source)
