"""The records of several entities, a page of each: one statement, however many entities there are."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from kasparro.core.database import Database
from kasparro.schemas.query import Field, RecordQuery, SearchMode
from kasparro.storage.arrays import TextArray
from kasparro.storage.dataset import DatasetRow
from kasparro.storage.query_fields import Binder
from kasparro.storage.query_page import READABLE, record_json

LINKED: Final = """
SELECT l.entity_id::text AS entity, l.id AS link, l.source, l.source_id,
    l.method, l.confidence, l.decided_by, l.decided_at, l.conflict,
    p.id AS record_id, CASE WHEN {readable} THEN {record} END AS record
FROM unnest({entities}) AS e (id)
CROSS JOIN LATERAL (
    SELECT * FROM entity_link WHERE entity_id = e.id AND id > {behind} ORDER BY id LIMIT {limit}
) AS l
LEFT JOIN LATERAL (SELECT * FROM normalized_data WHERE source = l.source AND source_id = l.source_id LIMIT 1) AS p ON true
ORDER BY l.entity_id, l.id
"""


@dataclass(frozen=True, slots=True)
class LinkedPage:
    """Which records of an entity, in the order in which they were linked: the first *limit* behind the link of that number.

    `fields` are those of the record that are told.
    """

    limit: int
    behind: int
    fields: tuple[Field, ...]


@dataclass(frozen=True, slots=True)
class LinkedRecord:
    """A link, and the record of the dataset, where that is there."""

    entity: str
    link: int
    source: str
    source_id: str
    method: str
    confidence: float
    decided_by: str
    decided_at: datetime
    conflict: dict[str, list[str]] | None
    record_id: int | None
    record: str | None

    @property
    def row(self) -> DatasetRow | None:
        return None if self.record_id is None else DatasetRow(self.record_id, self.source, self.record)


class LinkedRecords:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of_each(self, entities: Sequence[str], page: LinkedPage) -> dict[str, list[LinkedRecord]]:
        """Those of each of these entities that has any."""
        binder = Binder()
        statement = LINKED.format(
            readable=READABLE,
            record=record_json(RecordQuery(fields=page.fields), SearchMode.WORDS, binder),
            entities=binder.bind(TextArray(entities), "uuid[]"),
            behind=binder.bind(page.behind, "bigint"),
            limit=binder.bind(page.limit, "bigint"),
        )
        linked: dict[str, list[LinkedRecord]] = {}
        async with (
            self._database.statements() as connection,
            connection.cursor(row_factory=class_row(LinkedRecord)) as cursor,
        ):
            await cursor.execute(statement, binder.values)
            for one in await cursor.fetchall():
                linked.setdefault(one.entity, []).append(one)
        return linked
