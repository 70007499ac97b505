"""The statements of one commit: new rows by COPY, changed ones by one set-based upsert, rejects, checkpoint, notification.

Every function works inside the transaction of `IngestSession.commit`. `write_rows` touches only rows of the batch's own keys and
may go on beside the batch before; `write_progress` waits for its turn. Arrays go in sorted by key, one row a key.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractAsyncContextManager, nullcontext
from functools import partial
from hashlib import blake2b
from typing import Any

from psycopg import AsyncConnection, errors, sql
from psycopg.types.json import Jsonb

from kasparro.core.errors import KeysTaken
from kasparro.schemas.ingest import REJECTED, Batch, Cursor, Landed, Reject, RunId, SourceName
from kasparro.storage import copy_format as binary
from kasparro.storage.arrays import ByteaArray, EncodedTextArray, TextArray
from kasparro.storage.commit_order import Stage
from kasparro.storage.leases import Lease
from kasparro.storage.raw_tables import DATASET_COLUMNS, RawTable, dataset_rows, place_values, raw_rows

Connection = AsyncConnection[Any]

PIECE = 500
"""Rows sent at once."""

CHANNEL = "kasparro_dataset"
"""NOTIFY channel: one message per commit that changed data, `<source>:<dataset version>`."""

UPSERT_DATASET = """
INSERT INTO normalized_data AS stored (source, source_id, data, version)
SELECT %(source)s, source_id, data::jsonb, %(version)s FROM unnest(%(ids)s::text[], %(data)s::text[]) AS u (source_id, data)
ON CONFLICT (source, source_id) DO UPDATE SET data = excluded.data, version = excluded.version, updated_at = now()
"""

QUARANTINE = """
INSERT INTO quarantine AS stored (source, fingerprint, external_id, raw_data, place, field, reason, message, run_id)
SELECT %(source)s, u.fingerprint, u.external_id, u.raw_data::json, u.place, u.field, u.reason, u.message, %(run_id)s
FROM unnest(%(fingerprint)s::bytea[], %(external_id)s::text[], %(raw_data)s::text[], %(place)s::text[], %(field)s::text[],
            %(reason)s::text[], %(message)s::text[])
    AS u (fingerprint, external_id, raw_data, place, field, reason, message)
ON CONFLICT (source, fingerprint) DO UPDATE
SET raw_data = excluded.raw_data, place = excluded.place, field = excluded.field, reason = excluded.reason,
    message = excluded.message, run_id = excluded.run_id, last_seen = now(), attempts = stored.attempts + 1, resolved_at = NULL
"""

RESOLVE = """
UPDATE quarantine SET resolved_at = now()
WHERE source = %(source)s AND resolved_at IS NULL AND external_id = ANY(%(ids)s)
"""

COUNT_RECORDS = """
UPDATE etl_checkpoint
SET record_count = record_count + %(inserted)s, version = coalesce(%(version)s, version),
    changed_at = CASE WHEN %(version)s::bigint IS NULL THEN changed_at ELSE now() END
WHERE source = %(source)s
"""

CHECKPOINT = f"""
UPDATE etl_checkpoint
SET cursor = CASE
        WHEN %(rejected)s OR status = 'in_progress' AND cursor ? '{REJECTED}'
        THEN coalesce(%(cursor)s::jsonb, CASE WHEN %(status)s <> 'complete' THEN '{{}}'::jsonb END) || '{{"{REJECTED}": true}}'
        ELSE %(cursor)s::jsonb
    END,
    status = %(status)s, checkpoint_timestamp = now(), record_count = record_count + %(inserted)s,
    last_processed_id = coalesce(%(last_id)s, last_processed_id),
    last_processed_timestamp = coalesce(
        %(mark)s::timestamptz, CASE WHEN %(processed)s > 0 THEN now() ELSE last_processed_timestamp END
    ),
    version = coalesce(%(version)s, version),
    changed_at = CASE WHEN %(version)s::bigint IS NULL THEN changed_at ELSE now() END
WHERE source = %(source)s
"""

POSITION = "SELECT cursor, version FROM etl_checkpoint WHERE source = %s"

REJECTS_OPEN = "SELECT EXISTS (SELECT FROM quarantine WHERE source = %s AND resolved_at IS NULL)"

MARK_RAW = """
UPDATE {table} AS raw SET processed = u.processed
FROM unnest(%(ids)s::text[], %(processed)s::bool[]) AS u (id, processed)
WHERE raw.source = %(source)s AND raw.external_id = u.id AND raw.processed <> u.processed
"""


def at_once(_stage: Stage) -> AbstractAsyncContextManager[None]:
    """Wait for nobody."""
    return nullcontext()


async def write_rows(
    connection: Connection,
    table: RawTable,
    lease: Lease,
    batch: Batch,
    version: int | None,
    in_turn: Callable[[Stage], AbstractAsyncContextManager[None]] = at_once,
) -> None:
    """The records of a batch, stamped with the dataset *version* that it makes."""
    async with in_turn(Stage.DATASET):
        if version is not None:
            await copy_dataset(connection, lease.source, version, batch.new)
            await upsert_dataset(connection, lease.source, version, batch.changed)
    async with in_turn(Stage.RAW):
        if batch.replay:
            await mark_raw(connection, table, lease.source, batch.changed)
        else:
            await copy_raw(connection, table, lease.source, lease.run_id, batch.new)
            await upsert_raw(connection, table, lease.source, lease.run_id, batch.changed)


async def write_progress(
    connection: Connection, lease: Lease, batch: Batch, version: int | None, *, resolve: bool
) -> None:
    """What a batch changes that others change, too; *resolve*: there may be records of it in quarantine."""
    await quarantine(connection, lease.source, lease.run_id, batch.rejects)
    if resolve:
        await resolve_rejects(connection, lease.source, [*batch.new, *batch.changed])
    await move_checkpoint(connection, lease.source, batch, version)
    if version is not None:
        await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{lease.source}:{version}"))


async def checkpoint(connection: Connection, source: SourceName) -> tuple[Cursor | None, int]:
    """The cursor and the dataset version as they are committed."""
    row = await (await connection.execute(POSITION, (source,))).fetchone()
    if row is None:
        return None, 0
    cursor, version = row
    return (None if cursor == {REJECTED: True} else cursor), int(
        version
    )  # noted where there is no cursor yet


async def rejects_open(connection: Connection, source: SourceName) -> bool:
    """Say whether any record of the source is in quarantine."""
    row = await (await connection.execute(REJECTS_OPEN, (source,))).fetchone()
    return bool(row and row[0])


async def copy_dataset(
    connection: Connection, source: SourceName, version: int, new: Sequence[Landed]
) -> None:
    accepted = [item for item in new if item.data is not None]
    await _copy(
        connection, "normalized_data", DATASET_COLUMNS, accepted, partial(dataset_rows, source, version)
    )


async def copy_raw(
    connection: Connection, table: RawTable, source: SourceName, run_id: RunId, new: Sequence[Landed]
) -> None:
    await _copy(connection, table.name, table.columns, new, partial(raw_rows, table, source, run_id))


async def _copy(
    connection: Connection,
    table: str,
    columns: Sequence[str],
    items: Sequence[Landed],
    rows: Callable[[Sequence[Landed]], bytes],
) -> None:
    """New rows, made and sent a few at a time: the server begins at once, and they are still in the processor's cache."""
    if not items:
        return
    statement = sql.SQL("COPY {} ({}) FROM STDIN (FORMAT binary)").format(
        sql.Identifier(table), sql.SQL(", ").join(map(sql.Identifier, columns))
    )
    try:
        async with connection.cursor() as cursor, cursor.copy(statement) as copy:
            await copy.write(binary.HEADER)
            for start in range(0, len(items), PIECE):
                await copy.write(rows(items[start : start + PIECE]))
            await copy.write(binary.TRAILER)
    except errors.UniqueViolation as error:
        raise KeysTaken from error


async def upsert_dataset(
    connection: Connection, source: SourceName, version: int, changed: Sequence[Landed]
) -> None:
    rows = sorted((item.keyed.external_id, item.data) for item in changed if item.data is not None)
    if rows:
        ids, data = TextArray(key for key, _ in rows), EncodedTextArray([text for _, text in rows])
        await connection.execute(
            UPSERT_DATASET, {"source": source, "version": version, "ids": ids, "data": data}
        )


async def upsert_raw(
    connection: Connection, table: RawTable, source: SourceName, run_id: RunId, changed: Sequence[Landed]
) -> None:
    if not changed:
        return
    ordered = sorted(changed, key=lambda item: item.keyed.external_id)
    arrays: dict[str, Any] = {
        "ids": TextArray(item.keyed.external_id for item in ordered),
        "payloads": EncodedTextArray([item.keyed.raw.payload for item in ordered]),
        "hashes": ByteaArray([item.keyed.payload_hash for item in ordered]),
        "processed": [item.data is not None for item in ordered],
    }
    places = zip(*(place_values(item.keyed.raw.origin) for item in ordered), strict=True)
    arrays |= {name: list(values) for name, values in zip(table.place_columns, places, strict=True)}
    await connection.execute(_raw_upsert(table), {"source": source, "run_id": run_id, **arrays})


async def mark_raw(
    connection: Connection, table: RawTable, source: SourceName, changed: Sequence[Landed]
) -> None:
    """Say of stored raw records whether they are in the dataset; those that say so already stay untouched."""
    marks = sorted((item.keyed.external_id, item.data is not None) for item in changed)
    if marks:
        ids, processed = map(list, zip(*marks, strict=True))
        statement = sql.SQL(MARK_RAW).format(table=sql.Identifier(table.name))
        await connection.execute(statement, {"source": source, "ids": ids, "processed": processed})


def _raw_upsert(table: RawTable) -> sql.Composed:
    names = [sql.Identifier(name) for name in table.place_columns]
    return sql.SQL("""
INSERT INTO {table} (source, external_id, raw_data, payload_hash, run_id, processed, {places})
SELECT %(source)s, u.external_id, u.payload::json, u.payload_hash, %(run_id)s, u.processed, {places}
FROM unnest(%(ids)s::text[], %(payloads)s::text[], %(hashes)s::bytea[], %(processed)s::bool[], {arrays})
    AS u (external_id, payload, payload_hash, processed, {places})
ON CONFLICT (source, external_id) DO UPDATE
SET raw_data = excluded.raw_data, payload_hash = excluded.payload_hash, run_id = excluded.run_id,
    processed = excluded.processed, ingested_at = now(), deleted_at = NULL, {updates}
""").format(
        table=sql.Identifier(table.name),
        places=sql.SQL(", ").join(names),
        arrays=sql.SQL(", ").join(sql.SQL(f"%({name})s::{kind}[]") for name, kind in table.place),
        updates=sql.SQL(", ").join(sql.SQL("{0} = excluded.{0}").format(name) for name in names),
    )


async def quarantine(
    connection: Connection, source: SourceName, run_id: RunId, rejects: Sequence[Reject]
) -> None:
    if not rejects:
        return
    latest = {fingerprint(reject): reject for reject in rejects}
    columns: dict[str, list[Any]] = {
        "fingerprint": list(latest),
        "external_id": [reject.external_id for reject in latest.values()],
        "raw_data": [reject.payload.decode() for reject in latest.values()],
        "place": [str(reject.origin) for reject in latest.values()],
        "field": [reject.field for reject in latest.values()],
        "reason": [reject.reason for reject in latest.values()],
        "message": [reject.message for reject in latest.values()],
    }
    await connection.execute(QUARANTINE, {"source": source, "run_id": run_id, **columns})


def fingerprint(reject: Reject) -> bytes:
    """What makes two rejects the same: the record's identity; where it has none, its content and its number among equal ones."""
    if reject.external_id is not None:
        return blake2b(reject.external_id.encode(), digest_size=16, person=b"identity").digest()
    number = b"%d" % reject.repeat if reject.repeat else b""
    return blake2b(reject.payload, digest_size=16, person=b"payload", salt=number).digest()


async def resolve_rejects(connection: Connection, source: SourceName, landed: Sequence[Landed]) -> None:
    """Records that made it are no longer in quarantine."""
    ids = TextArray(item.keyed.external_id for item in landed if item.data is not None)
    if ids.values:
        await connection.execute(RESOLVE, {"source": source, "ids": ids})


async def count_deleted(connection: Connection, source: SourceName, deleted: int, version: int) -> None:
    """So many records have left the dataset as of *version*."""
    await connection.execute(COUNT_RECORDS, {"source": source, "inserted": -deleted, "version": version})
    await connection.execute("SELECT pg_notify(%s, %s)", (CHANNEL, f"{source}:{version}"))


async def move_checkpoint(
    connection: Connection, source: SourceName, batch: Batch, version: int | None
) -> None:
    parameters = {
        "source": source,
        "cursor": None if batch.cursor is None else Jsonb(dict(batch.cursor)),
        "rejected": bool(batch.rejects),
        "status": "complete" if batch.complete else "in_progress",
        "inserted": batch.counters.inserted,
        "processed": batch.counters.processed,
        "last_id": batch.last_id,
        "version": version,
        "mark": batch.mark,
    }
    await connection.execute(COUNT_RECORDS if batch.replay else CHECKPOINT, parameters)
