"""What is stored of the records of a batch: keys and hashes in, whatever is not the very same out.

The server compares, so a batch in which nothing has changed comes back empty.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from psycopg import AsyncConnection, sql

from kasparro.schemas.ingest import Keyed, Known, Stored
from kasparro.storage.arrays import ByteaArray, TextArray
from kasparro.storage.leases import Lease
from kasparro.storage.raw_tables import RawTable

KNOWN = """
SELECT u.place::int - 1, r.payload_hash, coalesce(r.processed, false), coalesce(r.processed, false) OR coalesce((
           SELECT true FROM normalized_data AS n WHERE n.source = %(source)s AND n.source_id = u.id LIMIT 1
       ), false), coalesce(r.run_id = %(run_id)s, false), {payload}
FROM unnest(%(ids)s::text[], %(hashes)s::bytea[]) WITH ORDINALITY AS u (id, hash, place)
LEFT JOIN LATERAL (
    SELECT {columns} FROM {table} WHERE source = %(source)s AND external_id = u.id LIMIT 1
) AS r ON true
WHERE r.payload_hash IS DISTINCT FROM u.hash OR NOT r.processed OR r.run_id = %(run_id)s
"""
"""The LIMITs keep the planner at one index scan a key, whatever it believes about the size of the tables: for an EXISTS it reads
all records of the source when they came so lately that nobody has counted them yet."""

COLUMNS = sql.SQL("payload_hash, processed, run_id, deleted_at")
NO_PAYLOAD = sql.SQL("NULL::text")
PAYLOAD = sql.SQL("CASE WHEN r.payload_hash <> u.hash AND r.deleted_at IS NULL THEN r.raw_data::text END")

NOTHING = """
SELECT NOT EXISTS (SELECT FROM {table} WHERE source = %(source)s)
   AND NOT EXISTS (SELECT FROM normalized_data WHERE source = %(source)s)
"""


async def known(
    connection: AsyncConnection[Any],
    table: RawTable,
    lease: Lease,
    records: Sequence[Keyed],
    *,
    payloads: bool = False,
) -> Stored:
    """See `ingestion.ports.IngestSession.known`."""
    statement = sql.SQL(KNOWN).format(
        table=sql.Identifier(table.name),
        columns=sql.SQL("{}, raw_data").format(COLUMNS) if payloads else COLUMNS,
        payload=PAYLOAD if payloads else NO_PAYLOAD,
    )
    parameters = {
        "source": lease.source,
        "run_id": lease.run_id,
        "ids": TextArray(one.external_id for one in records),
        "hashes": ByteaArray([one.payload_hash for one in records]),
    }
    cursor = connection.cursor(binary=True)
    rows = await (await cursor.execute(statement, parameters)).fetchall()
    return {place: _known(payload_hash, *others) for place, payload_hash, *others in rows}


def _known(
    payload_hash: bytes | None,
    processed: bool,  # noqa: FBT001  # a column
    in_dataset: bool,  # noqa: FBT001  # as above
    this_run: bool,  # noqa: FBT001  # as above
    payload: str | None,
) -> Known | None:
    """A dataset row without a raw one is left by a source that was once of another type."""
    if payload_hash is None and not in_dataset:
        return None
    text = None if payload is None else payload.encode()
    return Known(payload_hash or b"", processed, in_dataset, this_run, text)


async def nothing_stored(connection: AsyncConnection[Any], table: RawTable, lease: Lease) -> bool:
    """Say whether the source has no records at all, so that none of a batch needs to be looked up."""
    statement = sql.SQL(NOTHING).format(table=sql.Identifier(table.name))
    row = await (await connection.execute(statement, {"source": lease.source})).fetchone()
    return bool(row and row[0])
