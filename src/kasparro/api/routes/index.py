"""GET /: where things are."""

from __future__ import annotations

from fastapi import APIRouter

from kasparro import __version__
from kasparro.api.answers import ServiceIndex
from kasparro.api.openapi import SERVER, problems
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

router = APIRouter(route_class=StrictRoute, tags=["service"])

PATHS = (
    "/data",
    "/sources",
    "/stats",
    "/runs",
    "/checkpoints",
    "/schema-drifts",
    "/health",
    "/metrics",
    "/docs",
    "/redoc",
    "/openapi.json",
)


@router.get("/", dependencies=[needs(Scope.READ)], responses=problems(*SERVER))
async def get_index() -> ServiceIndex:
    """Name, version, and links to everything there is."""
    return ServiceIndex(
        name="kasparro", version=__version__, links={path[1:].partition(".")[0]: path for path in PATHS}
    )
