"""What is stored of a source, for those who only look: nothing here takes a lease, and no transaction can write."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from kasparro.core.database import Database
from kasparro.schemas.ingest import Cursor, Keyed, RunId, SourceKind, SourceName, Stored
from kasparro.storage import drift, writes
from kasparro.storage.leases import Lease
from kasparro.storage.lookup import known
from kasparro.storage.raw_tables import RAW_TABLES
from kasparro.storage.reading import snapshot

NO_RUN: Final = RunId("")
"""The run of those who look: nothing was ever stored by it."""


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

    async def shape(self, source: SourceName) -> bytes | None:
        async with snapshot(self._database) as connection:
            return await drift.read_shape(connection, source)
