"""GET /checkpoints: where each source stands."""

from __future__ import annotations

from fastapi import APIRouter

from kasparro.api.answers import CheckpointList
from kasparro.api.dependencies import TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope

router = APIRouter(route_class=StrictRoute, tags=["operation"])


@router.get("/checkpoints", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_checkpoints(runtime: TheRuntime) -> CheckpointList:
    """What each source resumes after, its dataset version and its number of records."""
    return CheckpointList(checkpoints=await runtime.checkpoints.all())
