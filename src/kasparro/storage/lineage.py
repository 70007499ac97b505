"""Where a record of the dataset came from, as the tables have it: its raw record and place, and the run that brought them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from psycopg.rows import class_row

from kasparro.core.database import Database
from kasparro.schemas.ingest import SourceKind
from kasparro.storage.query_fields import rfc3339
from kasparro.storage.raw_tables import RAW_TABLES


@dataclass(frozen=True, slots=True)
class StoredLineage:
    """A record and, as far as they are there, the latest raw record of its identity and that one's run."""

    id: int
    source: str
    source_id: str
    data: str
    version: int
    raw_id: int | None
    kind: str | None
    ingested_at: str | None
    payload_hash: bytes | None
    processed: bool | None
    payload: str | None
    place: dict[str, Any] | None
    run_id: str | None
    status: str | None
    start_time: datetime | None
    end_time: datetime | None
    duration_ms: int | None


class LineageArchive:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, record_id: int) -> StoredLineage | None:
        found = await self.of_each([record_id])
        return found[0] if found else None

    async def of_each(self, record_ids: Sequence[int]) -> list[StoredLineage]:
        """That of every one of the records that is there; one statement."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(StoredLineage)) as cursor,
        ):
            await cursor.execute(LINEAGE, {"ids": list(record_ids)})
            return await cursor.fetchall()

    async def payload(self, record_id: int) -> str | None:
        """The text of the raw record, as received."""
        found = await self.of(record_id)
        return found.payload if found else None


def _raw(kind: SourceKind) -> str:
    table = RAW_TABLES[kind]
    place = ", ".join(f"'{column}', {column}" for column in table.place_columns)
    return f"""
        SELECT id AS raw_id, '{kind}' AS kind, ingested_at AS received, {rfc3339("ingested_at")} AS ingested_at, payload_hash,
               processed, raw_data::text AS payload, json_build_object({place}) AS place, run_id
        FROM {table.name} WHERE source = n.source AND external_id = n.source_id
    """


# A source that was once of another type has left a raw record there, too; the latest counts.
LINEAGE: Final = f"""
    SELECT n.id, n.source, n.source_id, n.data::text AS data, n.version,
           raw.raw_id, raw.kind, raw.ingested_at, raw.payload_hash, raw.processed, raw.payload, raw.place,
           run.run_id, run.status, run.start_time, run.end_time, run.duration_ms
    FROM normalized_data AS n
    LEFT JOIN LATERAL (
        SELECT * FROM ({" UNION ALL ".join(_raw(kind) for kind in SourceKind)}) AS every ORDER BY received DESC LIMIT 1
    ) AS raw ON true
    LEFT JOIN etl_run AS run ON run.run_id = raw.run_id
    WHERE n.id = ANY(%(ids)s)
"""
