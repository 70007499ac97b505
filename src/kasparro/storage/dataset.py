"""Reads the unified dataset: a page with its exact total, or one record.

Rows leave as JSON text and text times, never as Python numbers or datetimes: every digit survives, and a value Python could
not represent (a timestamp `infinity`, say) becomes an absent field of that one row instead of an error of the whole page.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from kasparro.core.database import Database
from kasparro.storage.reading import only_source


@dataclass(frozen=True, slots=True)
class DatasetRow:
    """A stored record. `data` is the JSON text of its DataRecord; a time is RFC 3339, `None` when it cannot be written so."""

    id: int
    source: str
    source_id: str
    data: str
    created_at: str | None
    updated_at: str | None


@dataclass(frozen=True, slots=True)
class DatasetPage:
    """Rows in order of creation, and how many there are without limit and offset; both of one snapshot."""

    total: int
    rows: Sequence[DatasetRow]


class Dataset:
    """The read side of `normalized_data`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def page(self, limit: int, offset: int, source: str | None = None) -> DatasetPage:
        """Rows *offset* to *offset* + *limit* of *source*, or of all sources."""
        statement = PAGE_OF_ALL if source is None else PAGE_OF_SOURCE
        rows = await self._read(statement, {"source": source, "limit": limit, "offset": offset})
        return DatasetPage(rows[0][0], [DatasetRow(*row[1:]) for row in rows if row[1] is not None])

    async def record(self, record_id: int) -> DatasetRow | None:
        rows = await self._read(RECORD, {"id": record_id})
        return DatasetRow(*rows[0]) if rows else None

    async def _read(self, statement: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(statement, values)
            return await cursor.fetchall()


def _rfc3339(column: str) -> str:
    return (
        f"CASE WHEN {column} >= '0001-01-01Z' AND {column} < '10000-01-01Z'"
        f""" THEN to_char({column} AT TIME ZONE 'UTC', 'YYYY-MM-DD"T"HH24:MI:SS.US"Z"') END"""
    )


COLUMNS = f"id, source, source_id, data::text, {_rfc3339('created_at')}, {_rfc3339('updated_at')}"
RECORD = f"SELECT {COLUMNS} FROM normalized_data WHERE id = %(id)s"
# The total comes from the counts that each commit keeps, in the same statement: no row is counted, and no commit falls between.
PAGE = f"""
    SELECT total.records, page.*
    FROM (SELECT coalesce(sum(record_count), 0)::bigint AS records FROM etl_checkpoint {{where}}) AS total
    LEFT JOIN (
        SELECT {COLUMNS} FROM normalized_data {{where}} ORDER BY {{order}} LIMIT %(limit)s OFFSET %(offset)s
    ) AS page ON true
    ORDER BY page.id
"""
PAGE_OF_ALL = PAGE.format(where="", order="id")
PAGE_OF_SOURCE = PAGE.format(where=f"WHERE {only_source('source')}", order="source, id")
