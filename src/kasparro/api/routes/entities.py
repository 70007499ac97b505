"""GET /entities and /entities/{entity_id}: the things that records of all sources speak of."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Path, Query

from kasparro.api.answers import EntityList
from kasparro.api.dependencies import TheExchange, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import DIGITS, FLAG, INT64_MAX, Limit, Offset, StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import NotFound
from kasparro.schemas.entities import EntityView
from kasparro.storage.entities.reading import ENTITY_ID, EntityFilter

router = APIRouter(route_class=StrictRoute, tags=["operation"])

EntityIdPath = Annotated[
    str, Path(pattern=ENTITY_ID, description="Id of an entity, also of one that was merged")
]
After = Annotated[str | None, Query(pattern=ENTITY_ID, description="Only those behind this one")]
Matched = Annotated[bool, Query(description="Only those of which more than one record speaks"), FLAG]
OfRecord = Annotated[
    int | None,
    Query(ge=1, le=INT64_MAX, description="Only the one of which this record of the dataset speaks"),
    DIGITS,
]
Conflicts = Annotated[bool, Query(description="Only those of records that match more than one"), FLAG]


@router.get("/entities", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_entities(
    runtime: TheRuntime,
    exchange: TheExchange,
    limit: Limit = 10,
    after: After = None,
    matched: Matched = False,  # noqa: FBT002  # a query parameter
    conflicts: Conflicts = False,  # noqa: FBT002  # likewise
    record_id: OfRecord = None,
) -> EntityList:
    """Entities in the order in which they were made, each with the first ten of its records."""
    found = await runtime.entities.page(limit + 1, EntityFilter(matched, conflicts, after, record_id))
    shown = found[:limit]
    return EntityList(
        request_id=exchange.request_id,
        limit=limit,
        next_after=shown[-1].id if len(found) > limit else None,
        entities=shown,
    )


@router.get(
    "/entities/{entity_id}",
    dependencies=[needs(Scope.READ)],
    responses=problems(HTTPStatus.NOT_FOUND, *DATABASE),
)
async def get_entity(
    runtime: TheRuntime, entity_id: EntityIdPath, limit: Limit = 100, offset: Offset = 0
) -> EntityView:
    """An entity and its records of all sources; an id that was merged answers with what it was merged into."""
    entity = await runtime.entities.one(entity_id, limit, offset)
    if entity is None:
        raise NotFound(f"there is no entity {entity_id}")
    return entity
