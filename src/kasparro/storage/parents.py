"""The records of a source for those that depend on it, from the raw tables and the dataset; see `ingestion.ports.Parents`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from psycopg import sql

from kasparro.core.database import Database
from kasparro.schemas.ingest import ParentRecord, SourceKind, SourceName
from kasparro.storage.raw_tables import RAW_TABLES

_IN_DATASET: Final = """
SELECT r.external_id, r.raw_data::text FROM {table} AS r
WHERE r.source = %(source)s AND {which} AND r.deleted_at IS NULL AND EXISTS (
    SELECT FROM normalized_data AS n
    WHERE n.source = %(source)s AND n.source_id = r.external_id AND n.version > coalesce(%(since)s, -1)
)
ORDER BY r.external_id LIMIT %(limit)s
"""

_AFTER: Final = sql.SQL("r.external_id > %(key)s")
_ONE: Final = sql.SQL("r.external_id = %(key)s")
_VERSION: Final = "SELECT version FROM etl_checkpoint WHERE source = %s"


class PostgresParents:
    """Reads what is committed; *kinds* says in which raw table each source is."""

    def __init__(self, database: Database, kinds: Mapping[SourceName, SourceKind]) -> None:
        self._database = database
        self._kinds = kinds

    async def version(self, source: SourceName) -> int:
        async with self._database.driver_transaction() as connection:
            row = await (await connection.execute(_VERSION, [source])).fetchone()
            return int(row[0]) if row else 0

    async def read(
        self, source: SourceName, after: str | None, limit: int, since: int | None = None
    ) -> Sequence[ParentRecord]:
        return await self._read(source, _AFTER, after or "", limit, since)

    async def one(self, source: SourceName, key: str) -> ParentRecord | None:
        return next(iter(await self._read(source, _ONE, key, 1, None)), None)

    async def _read(
        self, source: SourceName, which: sql.SQL, key: str, limit: int, since: int | None
    ) -> Sequence[ParentRecord]:
        table = sql.Identifier(RAW_TABLES[self._kinds[source]].name)
        statement = sql.SQL(_IN_DATASET).format(table=table, which=which)
        values = {"source": source, "key": key, "limit": limit, "since": since}
        async with self._database.driver_transaction() as connection:
            found = await connection.execute(statement, values)
            return [ParentRecord(row[0], row[1].encode()) for row in await found.fetchall()]
