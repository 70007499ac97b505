"""What an operator decides: entities that are one, records that speak of another. No rule overrules it afterwards.

Everything linked to the entities concerned counts as decided, not only what was moved: who takes two records apart says of both
where they belong. See `linking` for the lock.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from psycopg import AsyncConnection

from kasparro.core.database import Database
from kasparro.core.errors import NotFound
from kasparro.core.uuid7 import uuid7
from kasparro.storage.arrays import TextArray
from kasparro.storage.entities.linking import LOCK
from kasparro.storage.entities.reading import LIVING, Entities

Connection = AsyncConnection[Any]

KEYS: Final = """
    SELECT substring(l.keys FROM 16 * n + 1 FOR 16) AS key, l.entity_id
    FROM entity_link AS l, generate_series(0, length(l.keys) / 16 - 1) AS n
    WHERE l.entity_id = ANY(%(entities)s::uuid[])
"""
FORGET_KEYS: Final = f"""
DELETE FROM entity_key USING ({KEYS}) AS held WHERE entity_key.key = held.key AND entity_key.entity_id = held.entity_id
"""
COUNT_KEYS: Final = f"""
INSERT INTO entity_key (key, entity_id, records) SELECT key, entity_id, count(*) FROM ({KEYS}) AS held GROUP BY 1, 2
"""

COUNT_RECORDS: Final = """
UPDATE entity SET records = (SELECT count(*) FROM entity_link WHERE entity_id = entity.id), merged_into = %(into)s
WHERE id = %(id)s
"""

DECIDE: Final = """
UPDATE entity_link SET decided_by = 'operator', decided_at = now(), conflict = NULL WHERE entity_id = ANY(%(entities)s::uuid[])
"""
MOVE_ALL: Final = """
UPDATE entity_link SET entity_id = %(into)s, method = 'merge', confidence = 1 WHERE entity_id = %(id)s
"""
MOVE: Final = """
UPDATE entity_link SET entity_id = %(into)s, method = 'split', confidence = 1
FROM unnest(%(sources)s::text[], %(ids)s::text[]) AS u (source, source_id)
WHERE entity_link.source = u.source AND entity_link.source_id = u.source_id
"""
LINKED: Final = """
SELECT u.source, u.source_id, l.entity_id IS NOT NULL
FROM unnest(%(sources)s::text[], %(ids)s::text[]) AS u (source, source_id)
LEFT JOIN entity_link AS l ON l.source = u.source AND l.source_id = u.source_id AND l.entity_id = %(id)s
"""
SIZE: Final = "SELECT records FROM entity WHERE id = %(id)s"

NEW: Final = "INSERT INTO entity (id) VALUES (%(id)s)"


class EntityDecisions:
    """Merging and splitting. An entity is named by any id that leads to it; one that does not exist raises `NotFound`."""

    def __init__(self, database: Database) -> None:
        self._database = database

    async def merge(self, into: str, other: str) -> str:
        """All records of *other* speak of *into* from now on, and so does its id. Returns the id that stays."""
        async with self._database.driver_transaction() as connection:
            await connection.execute(LOCK)
            stays, goes = await self._living(connection, into), await self._living(connection, other)
            if stays == goes:
                return stays
            both = {"entities": [stays, goes]}
            await connection.execute(FORGET_KEYS, both)
            await connection.execute(DECIDE, both)
            await connection.execute(MOVE_ALL, {"into": stays, "id": goes})
            await connection.execute(COUNT_RECORDS, {"id": stays, "into": None})
            await connection.execute(COUNT_RECORDS, {"id": goes, "into": stays})
            await connection.execute(COUNT_KEYS, both)
        return stays

    async def split(self, entity_id: str, records: Sequence[tuple[str, str]]) -> str:
        """These *records* (source, source_id) of an entity speak of another, together. Returns its id.

        All records of an entity stay in it: then that is what is decided. Raises `NotFound` naming those it does not have.
        """
        wanted = sorted(set(records))
        named = {
            "sources": TextArray(source for source, _ in wanted),
            "ids": TextArray(source_id for _, source_id in wanted),
        }
        async with self._database.driver_transaction() as connection:
            await connection.execute(LOCK)
            entity = await self._living(connection, entity_id)
            await _check_linked(connection, entity, named)
            new = entity if await _size(connection, entity) == len(wanted) else uuid7()
            both = {"entities": [entity, new]}
            await connection.execute(FORGET_KEYS, both)
            await connection.execute(DECIDE, both)
            if new != entity:
                await connection.execute(NEW, {"id": new})
                await connection.execute(MOVE, {"into": new, **named})
                await connection.execute(COUNT_RECORDS, {"id": entity, "into": None})
                await connection.execute(COUNT_RECORDS, {"id": new, "into": None})
            await connection.execute(COUNT_KEYS, both)
        return new

    async def _living(self, connection: Connection, entity_id: str) -> str:
        if Entities.is_id(entity_id):
            row = await (await connection.execute(LIVING, {"id": entity_id})).fetchone()
            if row is not None:
                return str(row[0])
        raise NotFound(f"there is no entity {entity_id!r}", hint="List them: kasparro entities list")


async def _check_linked(connection: Connection, entity: str, named: dict[str, Any]) -> None:
    found = await (await connection.execute(LINKED, {"id": entity, **named})).fetchall()
    missing = [f"{source}:{source_id}" for source, source_id, linked in found if not linked]
    if missing:
        raise NotFound(
            f"entity {entity} has no record {', '.join(missing)}",
            hint=f"See which it has: kasparro entities show {entity}",
        )


async def _size(connection: Connection, entity: str) -> int:
    row = await (await connection.execute(SIZE, {"id": entity})).fetchone()
    return int(row[0]) if row else 0
