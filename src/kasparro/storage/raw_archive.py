"""The raw records of a source as stored, for replay; see `ingestion.replay.RawArchive`."""

from __future__ import annotations

from collections.abc import Sequence

from psycopg import sql

from kasparro.core.database import Database
from kasparro.schemas.ingest import Keyed, Landed, RawRecord, SourceKind, SourceName
from kasparro.storage.arrays import EncodedTextArray, TextArray
from kasparro.storage.raw_tables import RAW_TABLES

READ = """
SELECT id, external_id, payload_hash, raw_data::text, {places} FROM {table}
WHERE source = %(source)s AND id > %(after)s AND deleted_at IS NULL ORDER BY id LIMIT %(limit)s
"""

DIFFERING = """
SELECT u.id, n.data IS NOT NULL FROM unnest(%(ids)s::text[], %(data)s::text[]) AS u (id, data)
LEFT JOIN LATERAL (
    SELECT data FROM normalized_data WHERE source = %(source)s AND source_id = u.id LIMIT 1
) n ON true
WHERE n.data IS DISTINCT FROM u.data::jsonb
"""


class PostgresRawArchive:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def read(
        self, kind: SourceKind, source: SourceName, after: int, limit: int
    ) -> Sequence[tuple[int, Keyed]]:
        table = RAW_TABLES[kind]
        statement = sql.SQL(READ).format(
            table=sql.Identifier(table.name),
            places=sql.SQL(", ").join(map(sql.Identifier, table.place_columns)),
        )
        async with self._database.driver_transaction() as connection:
            found = await connection.execute(statement, {"source": source, "after": after, "limit": limit})
            return [
                (row[0], Keyed(row[1], row[2], RawRecord(row[3].encode(), table.origin(*row[4:]))))
                for row in await found.fetchall()
            ]

    async def differing(self, source: SourceName, landed: Sequence[Landed]) -> dict[str, bool]:
        ids = TextArray(item.keyed.external_id for item in landed)
        data = EncodedTextArray([item.data or b"null" for item in landed])
        async with self._database.driver_transaction() as connection:
            found = await connection.execute(DIFFERING, {"source": source, "ids": ids, "data": data})
            return dict(await found.fetchall())
