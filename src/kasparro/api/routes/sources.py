"""GET /sources: what is declared, and what has data, whether declared or not."""

from __future__ import annotations

from fastapi import APIRouter

from kasparro.api.answers import SourceList
from kasparro.api.dependencies import TheReader, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.operation import list_of_sources
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

router = APIRouter(route_class=StrictRoute, tags=["operation"])


@router.get("/sources", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_sources(runtime: TheRuntime, reader: TheReader) -> SourceList:
    """Declared sources in the order of the catalog, then those that only have data."""
    return SourceList(sources=await list_of_sources(runtime, reader))
