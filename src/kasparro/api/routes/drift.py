"""GET /schema-drifts: how the shapes of records have changed."""

from __future__ import annotations

from fastapi import APIRouter

from kasparro.api.answers import DriftList
from kasparro.api.dependencies import TheExchange, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import Limit, Offset, SourceFilter, StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.storage.drift import DriftFilter

router = APIRouter(route_class=StrictRoute, tags=["operation"])


@router.get("/schema-drifts", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_schema_drifts(
    runtime: TheRuntime,
    exchange: TheExchange,
    limit: Limit = 10,
    offset: Offset = 0,
    source: SourceFilter = None,
) -> DriftList:
    """How the records of sources differ from what they looked like before, the latest first."""
    drifts = await runtime.drift.latest(limit + 1, offset, DriftFilter(source))
    return DriftList(
        request_id=exchange.request_id,
        limit=limit,
        offset=offset,
        has_more=len(drifts) > limit,
        drifts=drifts[:limit],
    )
