"""The links of a batch, written in its transaction: a constant number of statements, whatever the number of records.

Whoever links or decides holds one lock from here to the end of the transaction: all of them look before they write, and two who
met the same new key at once would both make an entity of it. It is taken when a batch is in its turn and its rows are written, so
it is held for milliseconds; a source that declares no rules never takes it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from kasparro.core.uuid7 import uuid7
from kasparro.schemas.ingest import Notice, NoticeCode, SourceName
from kasparro.schemas.matching import Matchable
from kasparro.storage.arrays import ByteaArray, TextArray
from kasparro.storage.entities.resolving import Changes, DecidedBy, Known, Link, Resolver

Connection = AsyncConnection[Any]

LOCK: Final = "SELECT pg_advisory_xact_lock(hashtext('kasparro entities'))"

LINKS: Final = """
SELECT l.source_id, l.entity_id::text, l.method, l.confidence, l.keys, l.decided_by, l.conflict, e.records
FROM unnest(%(ids)s::text[]) AS u (id)
CROSS JOIN LATERAL (SELECT * FROM entity_link WHERE source = %(source)s AND source_id = u.id LIMIT 1) AS l
CROSS JOIN LATERAL (SELECT records FROM entity WHERE id = l.entity_id LIMIT 1) AS e
"""
"""The LIMITs keep the planner at one index scan a record, whatever it believes about the size of the table."""

HOLDERS: Final = """
SELECT u.key, k.entity_id::text, k.records
FROM unnest(%(keys)s::bytea[]) AS u (key)
CROSS JOIN LATERAL (SELECT entity_id, records FROM entity_key WHERE key = u.key LIMIT 1000) AS k
"""

NEW_ENTITIES: Final = (
    "INSERT INTO entity (id, records) SELECT * FROM unnest(%(entities)s::uuid[], %(records)s::bigint[])"
)

COUNT_RECORDS: Final = """
UPDATE entity SET records = entity.records + u.by, merged_into = u.merged_into
FROM unnest(%(entities)s::uuid[], %(records)s::bigint[], %(merged)s::uuid[]) AS u (id, by, merged_into)
WHERE entity.id = u.id
"""

PUT_LINKS: Final = """
INSERT INTO entity_link AS known (source, source_id, entity_id, method, confidence, keys, decided_by, conflict)
SELECT %(source)s, u.* FROM unnest(%(ids)s::text[], %(entities)s::uuid[], %(methods)s::text[], %(confidences)s::float8[],
    %(keys)s::bytea[], %(deciders)s::text[], %(conflicts)s::jsonb[])
    AS u (source_id, entity_id, method, confidence, keys, decided_by, conflict)
ON CONFLICT (source, source_id) DO UPDATE
SET entity_id = excluded.entity_id, method = excluded.method, confidence = excluded.confidence, keys = excluded.keys,
    decided_by = excluded.decided_by, conflict = excluded.conflict,
    decided_at = CASE WHEN excluded.decided_by = 'operator' THEN known.decided_at ELSE now() END
"""

COUNT_KEYS: Final = """
INSERT INTO entity_key AS known (key, entity_id, records)
SELECT * FROM unnest(%(keys)s::bytea[], %(entities)s::uuid[], %(records)s::bigint[])
ON CONFLICT (key, entity_id) DO UPDATE SET records = known.records + excluded.records
"""

DROP_KEYS: Final = "DELETE FROM entity_key WHERE key = ANY(%(keys)s) AND records = 0"

ANY_LINKED: Final = """
SELECT EXISTS (SELECT FROM entity_link WHERE source = %(source)s AND source_id = ANY(%(ids)s::text[]))
"""

DROP_LINKS: Final = "DELETE FROM entity_link WHERE source = %(source)s AND source_id = ANY(%(ids)s)"


async def link(connection: Connection, source: SourceName, records: Sequence[Matchable]) -> Sequence[Notice]:
    """Link *records*, which the batch at hand brings. Returns what an operator should know."""
    if not records:
        return ()
    await connection.execute(LOCK)
    resolver = Resolver(await _known(connection, source, records), uuid7)
    resolver.link(records)
    await _write(connection, source, resolver.changes)
    return _notices(resolver.changes.conflicts)


async def unlink(connection: Connection, source: SourceName, gone: Sequence[str]) -> None:
    """Unlink the records that are *gone*, whether or not their source still declares rules.

    Called by the holder of the source's lease, beside whom nobody links its records: where none is linked, no lock is needed.
    """
    row = await (await connection.execute(ANY_LINKED, {"source": source, "ids": TextArray(gone)})).fetchone()
    if row is None or not row[0]:
        return
    await connection.execute(LOCK)
    resolver = Resolver(await _known(connection, source, (), gone), uuid7)
    resolver.unlink(gone)
    await _write(connection, source, resolver.changes)


def _notices(conflicts: int) -> Sequence[Notice]:
    if not conflicts:
        return ()
    message = f"{conflicts:,} records match more than one entity, and were given one of their own"
    return [Notice(NoticeCode.ENTITY_CONFLICT, message, {"records": conflicts})]


async def _known(
    connection: Connection, source: SourceName, records: Sequence[Matchable], gone: Sequence[str] = ()
) -> Known:
    known = Known()
    ids = TextArray([*(record.source_id for record in records), *gone])
    for row in await (await connection.execute(LINKS, {"source": source, "ids": ids})).fetchall():
        source_id, entity, method, confidence, keys, decided_by, conflict, size = row
        known.links[source_id] = Link(
            source_id, entity, method, confidence, keys, DecidedBy(decided_by), conflict
        )
        known.sizes[entity] = size
    digests = ByteaArray(sorted({key.digest for record in records for key in record.keys}))
    if digests.values:
        cursor = connection.cursor(binary=True)
        for key, entity, count in await (await cursor.execute(HOLDERS, {"keys": digests})).fetchall():
            known.holders.setdefault(key, {})[entity] = count
    return known


async def _write(connection: Connection, source: SourceName, changes: Changes) -> None:
    if changes.unlinked:
        ids = TextArray(sorted(changes.unlinked))
        await connection.execute(DROP_LINKS, {"source": source, "ids": ids})
    await _count_records(connection, changes)
    if changes.links:
        await connection.execute(PUT_LINKS, {"source": source, **_columns(changes)})
    await _count_keys(connection, changes)


async def _count_records(connection: Connection, changes: Changes) -> None:
    if changes.new:
        new = sorted(changes.new)
        records = [changes.sizes[entity] for entity in new]
        await connection.execute(NEW_ENTITIES, {"entities": TextArray(new), "records": records})
    known = sorted(entity for entity, by in changes.sizes.items() if by and entity not in changes.new)
    if known:
        counted = {
            "entities": TextArray(known),
            "records": [changes.sizes[entity] for entity in known],
            "merged": [changes.merged.get(entity) for entity in known],
        }
        await connection.execute(COUNT_RECORDS, counted)


async def _count_keys(connection: Connection, changes: Changes) -> None:
    held = sorted((key, entity, by) for (key, entity), by in changes.keys.items() if by)
    if held:
        keys, entities, records = map(list, zip(*held, strict=True))
        counted = {"keys": ByteaArray(keys), "entities": TextArray(entities), "records": records}
        await connection.execute(COUNT_KEYS, counted)
    if lost := sorted({key for key, _, by in held if by < 0}):
        await connection.execute(DROP_KEYS, {"keys": ByteaArray(lost)})


def _columns(changes: Changes) -> dict[str, Any]:
    links = [changes.links[source_id] for source_id in sorted(changes.links)]
    return {
        "ids": TextArray(one.source_id for one in links),
        "entities": TextArray(one.entity for one in links),
        "methods": TextArray(one.method for one in links),
        "confidences": [one.confidence for one in links],
        "keys": ByteaArray([one.keys for one in links]),
        "deciders": TextArray(one.decided_by for one in links),
        "conflicts": [None if one.conflict is None else Jsonb(dict(one.conflict)) for one in links],
    }
