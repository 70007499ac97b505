"""The records of a source for those that depend on it, from the raw tables and the dataset; see `ingestion.ports.Parents`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Self

from psycopg import sql

from kasparro.core.database import Database
from kasparro.core.etl_config import Catalog
from kasparro.schemas.ingest import ParentRecord, SourceKind, SourceName
from kasparro.storage.raw_tables import RAW_TABLES
from kasparro.storage.reading import IN_ORDER

_IN_DATASET: Final = """
SELECT r.external_id, r.raw_data::text FROM {table} AS r
CROSS JOIN LATERAL (
    SELECT version FROM normalized_data WHERE source = %(source)s AND source_id = r.external_id LIMIT 1
) AS n
WHERE r.source = %(source)s AND {which} AND r.deleted_at IS NULL AND n.version > coalesce(%(since)s, -1)
ORDER BY r.external_id LIMIT %(limit)s
"""
"""The inner LIMIT keeps the planner at one index scan a key, so that a page costs the same wherever it is."""

_AFTER: Final = sql.SQL("r.external_id > %(key)s")
_ONE: Final = sql.SQL("r.external_id = %(key)s")
_VERSION: Final = "SELECT version FROM etl_checkpoint WHERE source = %s"


def statement(kind: SourceKind, which: sql.SQL = _AFTER) -> sql.Composed:
    """What reads a page of the parents of this *kind*."""
    return sql.SQL(_IN_DATASET).format(table=sql.Identifier(RAW_TABLES[kind].name), which=which)


class PostgresParents:
    """Reads what is committed; *kinds* says in which raw table each source is."""

    def __init__(self, database: Database, kinds: Mapping[SourceName, SourceKind]) -> None:
        self._database = database
        self._kinds = kinds

    @classmethod
    def of(cls, catalog: Catalog, database: Database) -> Self:
        """Those of all sources of *catalog*."""
        kinds = {one.name: SourceKind.of(one.type) for one in catalog.sources.values()}
        return cls(database, kinds)

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
        values = {"source": source, "key": key, "limit": limit, "since": since}
        async with self._database.driver_transaction() as connection:
            await connection.execute(IN_ORDER)
            found = await connection.execute(statement(self._kinds[source], which), values)
            return [ParentRecord(row[0], row[1].encode()) for row in await found.fetchall()]
