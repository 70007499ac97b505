"""GET /stats: what ingestion has done so far."""

from __future__ import annotations

from fastapi import APIRouter

from kasparro.api.dependencies import TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import Limit, SourceFilter, StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.schemas.data import ETLStats

router = APIRouter(route_class=StrictRoute, tags=["operation"])


@router.get("/stats", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def get_stats(runtime: TheRuntime, limit: Limit = 10, source: SourceFilter = None) -> ETLStats:
    """Totals of all time, in sum and for each source, and the latest runs."""
    return await runtime.history.stats(limit, source)
