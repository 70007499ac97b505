"""Entities, and pages of their records. Behind an entity stands a value of `schemas.entities`."""

from __future__ import annotations

from typing import Annotated, Any, Final

import strawberry
import structlog

from kasparro.api.graphql.connections import check_first, number_behind, page_info
from kasparro.api.graphql.context import Info
from kasparro.api.graphql.node import Node, global_id, identified
from kasparro.api.graphql.record_pages import record_fields
from kasparro.api.graphql.record_types import PageInfo, Record, StoredFields, stored_fields
from kasparro.api.graphql.scalars import BigInt, Json, Time
from kasparro.api.graphql.selection import selected
from kasparro.core.errors import StorageError
from kasparro.schemas import entities
from kasparro.schemas.query import Field
from kasparro.storage.dataset import DatasetRow
from kasparro.storage.entities.linked_records import LinkedPage, LinkedRecord

log = structlog.get_logger(__name__)

CURSOR: Final = "LinkCursor"


@strawberry.type(description="A record that speaks of an entity, and why we think so.")
class EntityRecordEdge:
    cursor: str
    node: Record | None = strawberry.field(description="null: the dataset does not have it")
    source_name: str
    source_id: str
    method: str = strawberry.field(
        description="The fields in which it agrees with others, or: first, no_key, conflict, merge, split"
    )
    confidence: float = strawberry.field(description="From 0 to 1: how much that counts")
    decided_by: str = strawberry.field(description="`rule`, or `operator`, whose decisions no rule overrules")
    decided_at: Time
    conflict: Json | None = strawberry.field(
        description="By rule, the different entities to which it leads, where it was therefore given one of its own"
    )


@strawberry.type
class EntityRecordConnection:
    edges: list[EntityRecordEdge]
    page_info: PageInfo

    @strawberry.field(description="The records of the edges, as far as the dataset has them")
    @staticmethod
    def nodes(root: strawberry.Parent[EntityRecordConnection]) -> list[Record]:
        return [edge.node for edge in root.edges if edge.node is not None]


@strawberry.type(description="A thing that records of one or more sources speak of.")
class Entity(Node):
    id: strawberry.ID = identified(lambda root: global_id("Entity", root.id))
    entity_id: str = strawberry.field(
        resolver=lambda root: root.id, description="Never changes; after a merge the other's leads here, too"
    )
    created_at: Time
    record_count: BigInt = strawberry.field(description="How many records speak of it")

    @strawberry.field(description="Its records of all sources, those first that were linked first")
    @staticmethod
    async def records(
        root: strawberry.Parent[entities.Entity],
        info: Info,
        first: Annotated[int, strawberry.argument(description="Most of them, 1 to 100")] = 10,
        after: Annotated[
            str | None, strawberry.argument(description="A cursor of the same entity: go on behind it")
        ] = None,
    ) -> EntityRecordConnection:
        check_first(first)
        behind = 0 if after is None else number_behind(CURSOR, after)
        names = selected(info, "edges", "node") | selected(info, "nodes")
        page = LinkedPage(first + 1, behind, tuple(map(Field, record_fields(names))))
        found = await info.context.linked_records.load((root.id, page))
        edges = [_edge(linked) for linked in found[:first]]
        return EntityRecordConnection(edges=edges, page_info=page_info(edges, after, more=len(found) > first))

    @classmethod
    def is_type_of(cls, value: Any, _info: Any) -> bool:
        return isinstance(value, entities.Entity)


def _edge(linked: LinkedRecord) -> EntityRecordEdge:
    return EntityRecordEdge(
        cursor=global_id(CURSOR, linked.link),
        node=_readable(linked.row),  # type: ignore[arg-type]  # stands behind it
        source_name=linked.source,
        source_id=linked.source_id,
        method=linked.method,
        confidence=linked.confidence,
        decided_by=linked.decided_by,
        decided_at=linked.decided_at,  # type: ignore[arg-type]  # a moment
        conflict=linked.conflict,  # type: ignore[arg-type]  # JSON
    )


def _readable(row: DatasetRow | None) -> StoredFields | None:
    """A row that cannot be told is reported; its link is served."""
    if row is None:
        return None
    try:
        return stored_fields(row)
    except StorageError as error:
        log.error("record.unreadable", id=row.id, source=row.source, error=str(error))  # noqa: TRY400  # no traceback
        return None
