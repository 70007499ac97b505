"""Entities and their records, for those who look."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, TypeVar

from psycopg.rows import class_row

from kasparro.core.database import Database
from kasparro.schemas.entities import Entity, EntityView

T = TypeVar("T")

ENTITY_ID: Final = "^[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}$"
MOST_RECORDS: Final = 10
"""Records shown of each of several entities."""

LIVING: Final = """
WITH RECURSIVE way AS (
    SELECT id, merged_into FROM entity WHERE id = %(id)s
    UNION ALL SELECT e.id, e.merged_into FROM entity AS e JOIN way ON e.id = way.merged_into
)
SELECT id::text FROM way WHERE merged_into IS NULL
"""
"""The entity itself, or the one that its id stands for since it was merged."""

HEADS: Final = "SELECT id::text, created_at, records AS record_count FROM ({entities}) AS e ORDER BY id"
"""Entities without their records."""
ONE_HEAD: Final = HEADS.format(entities=f"SELECT * FROM entity WHERE id = ({LIVING})::uuid")

VIEW: Final = """
SELECT e.id::text, e.created_at, e.records AS record_count, coalesce(r.records, '[]') AS records
FROM ({entities}) AS e
LEFT JOIN LATERAL (
    SELECT json_agg(row_to_json(linked) ORDER BY linked.id) AS records
    FROM (
        SELECT l.id, l.source, l.source_id, n.id AS record_id, n.data->>'title' AS title, n.data->>'url' AS url,
            l.method, l.confidence, l.decided_by, l.decided_at, l.conflict
        FROM entity_link AS l
        LEFT JOIN LATERAL (
            SELECT id, data FROM normalized_data WHERE source = l.source AND source_id = l.source_id LIMIT 1
        ) AS n ON true
        WHERE l.entity_id = e.id ORDER BY l.id OFFSET %(offset)s LIMIT %(records)s
    ) AS linked
) AS r ON true
ORDER BY e.id
"""

ONE: Final = VIEW.format(entities="SELECT * FROM entity WHERE id = %(id)s")

OF_RECORDS: Final = """
SELECT n.id, json_build_object('id', e.id, 'created_at', e.created_at, 'record_count', e.records)
FROM unnest(%(ids)s::bigint[]) AS u (id)
CROSS JOIN LATERAL (SELECT id, source, source_id FROM normalized_data WHERE id = u.id LIMIT 1) AS n
CROSS JOIN LATERAL (SELECT entity_id FROM entity_link WHERE source = n.source AND source_id = n.source_id LIMIT 1) AS l
CROSS JOIN LATERAL (SELECT * FROM entity WHERE id = l.entity_id LIMIT 1) AS e
"""

IN_CONFLICT: Final = "id IN (SELECT entity_id FROM entity_link WHERE conflict IS NOT NULL)"

OF_RECORD: Final = """
id = (
    SELECT l.entity_id FROM normalized_data AS n JOIN entity_link AS l ON l.source = n.source AND l.source_id = n.source_id
    WHERE n.id = %(record_id)s
)
"""
NAMED: Final = (
    "SELECT entity_id::text FROM entity_link WHERE source = %(source)s AND source_id = %(source_id)s"
)


@dataclass(frozen=True, slots=True)
class EntityFilter:
    """Which entities that have records. `matched`: those with more than one; `conflicts`: those of records that led to several.

    `after`: those behind the one with that id. `record_id`: the one of which that record of the dataset speaks.
    """

    matched: bool = False
    conflicts: bool = False
    after: str | None = None
    record_id: int | None = None

    def select(self) -> str:
        conditions = [f"records > {int(self.matched)}"]
        conditions += [IN_CONFLICT] if self.conflicts else []
        conditions += ["id > %(after)s::uuid"] if self.after is not None else []
        conditions += [OF_RECORD] if self.record_id is not None else []
        return f"SELECT * FROM entity WHERE {' AND '.join(conditions)} ORDER BY id LIMIT %(limit)s"

    def values(self, limit: int) -> dict[str, Any]:
        """Those of `select`."""
        return {"limit": limit, "after": self.after, "record_id": self.record_id}


ANY_ENTITY: Final = EntityFilter()


class Entities:
    """What is known of entities."""

    def __init__(self, database: Database) -> None:
        self._database = database

    @staticmethod
    def is_id(text: str) -> bool:
        """Whether it has the form of an id."""
        return re.fullmatch(ENTITY_ID, text) is not None

    async def page(self, limit: int, which: EntityFilter = ANY_ENTITY) -> list[EntityView]:
        """The first *limit* in the order of their ids, which is that in which they were made."""
        values = {"offset": 0, "records": MOST_RECORDS, **which.values(limit)}
        return await self._rows(EntityView, VIEW.format(entities=which.select()), values)

    async def one(self, entity_id: str, limit: int = 100, offset: int = 0) -> EntityView | None:
        """An entity with *limit* of its records, behind the first *offset*; one that was merged is the one it was merged into."""
        living = await self.living(entity_id)
        if living is None:
            return None
        [found] = await self._rows(EntityView, ONE, {"id": living, "offset": offset, "records": limit})
        return found

    async def heads(self, limit: int, which: EntityFilter = ANY_ENTITY) -> list[Entity]:
        """As `page`, without their records."""
        return await self._rows(Entity, HEADS.format(entities=which.select()), which.values(limit))

    async def head(self, entity_id: str) -> Entity | None:
        """As `one`, without its records."""
        found = await self._rows(Entity, ONE_HEAD, {"id": entity_id}) if self.is_id(entity_id) else []
        return found[0] if found else None

    async def of_record(self, source: str, source_id: str) -> str | None:
        """The id of the entity that a record speaks of."""
        async with self._database.driver_transaction() as connection:
            found = await connection.execute(NAMED, {"source": source, "source_id": source_id})
            row = await found.fetchone()
        return row[0] if row else None

    async def living(self, entity_id: str) -> str | None:
        """The id of the entity that *entity_id* stands for."""
        if not self.is_id(entity_id):
            return None
        async with self._database.driver_transaction() as connection:
            row = await (await connection.execute(LIVING, {"id": entity_id})).fetchone()
        return row[0] if row else None

    async def of_records(self, record_ids: Sequence[int]) -> dict[int, Entity]:
        """The entity of each of these records of the dataset, as far as they are linked."""
        async with self._database.driver_transaction() as connection:
            found = await (await connection.execute(OF_RECORDS, {"ids": list(record_ids)})).fetchall()
        return {record_id: Entity.model_validate(entity) for record_id, entity in found}

    async def _rows(self, kind: type[T], statement: str, values: dict[str, Any]) -> list[T]:
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(kind)) as cursor,
        ):
            await cursor.execute(statement, values)
            return await cursor.fetchall()
