"""GET /runs and /runs/{run_id}: the history of runs, and the one that waits for a worker."""

from __future__ import annotations

from http import HTTPStatus
from typing import Annotated

from fastapi import APIRouter, Query

from kasparro.api.answers import RunList
from kasparro.api.dependencies import TheExchange, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.operation import find_run
from kasparro.api.parameters import Limit, Offset, RunIdPath, SourceFilter, StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import NotFound
from kasparro.schemas.data import RunSummary
from kasparro.schemas.ingest import RunStatus
from kasparro.storage.runs import RunFilter

router = APIRouter(route_class=StrictRoute, tags=["operation"])

StatusFilter = Annotated[RunStatus | None, Query(description="Only runs in this state")]


@router.get("/runs", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_runs(
    runtime: TheRuntime,
    exchange: TheExchange,
    limit: Limit = 10,
    offset: Offset = 0,
    source: SourceFilter = None,
    status: StatusFilter = None,
) -> RunList:
    """Runs that have begun, the latest first."""
    runs = await runtime.history.runs(limit + 1, offset, RunFilter(source, status))
    return RunList(
        request_id=exchange.request_id,
        limit=limit,
        offset=offset,
        has_more=len(runs) > limit,
        runs=runs[:limit],
    )


@router.get(
    "/runs/{run_id}",
    dependencies=[needs(Scope.READ)],
    responses=problems(HTTPStatus.NOT_FOUND, *DATABASE),
)
async def get_run(runtime: TheRuntime, run_id: RunIdPath) -> RunSummary:
    """One run; one that waits for a worker is in progress with `"queued": true` in its metadata."""
    run = await find_run(runtime, run_id)
    if run is None:
        raise NotFound(f"there is no run {run_id!r}")
    return run
