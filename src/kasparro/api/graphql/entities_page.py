"""Entities: one, or a page of them in the order in which they were made."""

from __future__ import annotations

from typing import Any, Final

import strawberry

from kasparro.api.graphql.connections import check_first, key_behind, page_info, refused
from kasparro.api.graphql.context import Info
from kasparro.api.graphql.entity_types import Entity
from kasparro.api.graphql.node import global_id, parse_global_id
from kasparro.api.graphql.record_types import PageInfo
from kasparro.core.errors import InvalidParameter
from kasparro.storage.entities.reading import Entities, EntityFilter

CURSOR: Final = "EntityCursor"


@strawberry.type
class EntityEdge:
    cursor: str
    node: Entity


@strawberry.type
class EntityConnection:
    edges: list[EntityEdge]
    page_info: PageInfo

    @strawberry.field(description="The entities of the edges")
    @staticmethod
    def nodes(root: strawberry.Parent[EntityConnection]) -> list[Entity]:
        return [edge.node for edge in root.edges]


async def page_of_entities(
    info: Info, first: int, after: str | None, *, matched: bool, conflicts: bool
) -> EntityConnection:
    """Raises `InvalidParameter`, `InvalidCursor`, and what the database raises."""
    check_first(first)
    which = EntityFilter(matched, conflicts, None if after is None else _behind(after))
    known = info.context.runtime.entities
    found = await info.context.ask(lambda: known.heads(first + 1, which))
    edges = [EntityEdge(cursor=global_id(CURSOR, entity.id), node=entity) for entity in found[:first]]  # type: ignore[arg-type]  # stands behind it
    return EntityConnection(edges=edges, page_info=page_info(edges, after, more=len(found) > first))


def _behind(after: str) -> str:
    key = key_behind(CURSOR, after)
    if not Entities.is_id(key):
        raise refused()
    return key


async def entity_of(info: Info, given: str) -> Any:
    """By its global id or its own; one that was merged is the one it was merged into."""
    kind, key = ("Entity", given) if Entities.is_id(given) else parse_global_id("id", given)
    if kind != "Entity":
        raise InvalidParameter("id", f"is the id of a {kind}")
    if not Entities.is_id(key):
        raise InvalidParameter("id", "is no id of an entity", hint="Send one that an `id` field answered")
    return await info.context.ask(lambda: info.context.runtime.entities.head(key))
