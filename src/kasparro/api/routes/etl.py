"""POST /etl/run and /etl/run/{source}: ask for runs. A worker does them; this only queues."""

from __future__ import annotations

import difflib
from http import HTTPStatus

from fastapi import APIRouter, Depends, Response

from kasparro.api.answers import RunsRequested
from kasparro.api.dependencies import TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import SourcePath, StrictRoute, takes_no_body
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.errors import AlreadyRunning, InvalidParameter, NotFound
from kasparro.core.etl_config import Catalog
from kasparro.runtime import Runtime
from kasparro.schemas.data import QueuedRun, RunRequestAccepted
from kasparro.schemas.ingest import Trigger

router = APIRouter(
    route_class=StrictRoute,
    tags=["operation"],
    responses=problems(
        HTTPStatus.NOT_FOUND,
        HTTPStatus.CONFLICT,
        HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
        HTTPStatus.UNSUPPORTED_MEDIA_TYPE,
        *DATABASE,
    ),
)


@router.post(
    "/etl/run",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[needs(Scope.ADMIN), Depends(takes_no_body)],
)
async def run_all_sources(runtime: TheRuntime) -> RunsRequested:
    """Queue a run of every enabled source that is not queued or running already."""
    names = [name for name, declared in runtime.catalog.sources.items() if declared.enabled]
    if not names:
        raise NotFound("no source is enabled", hint=f"Set `enabled: true` in {runtime.catalog.path.name}")
    asked = {name: await _ask(runtime, name) for name in names}
    runs = [run for run in asked.values() if run is not None]
    if not runs:
        raise AlreadyRunning(f"every source is queued or running already: {', '.join(names)}")
    return RunsRequested(runs=runs, already_running=[name for name, run in asked.items() if run is None])


@router.post(
    "/etl/run/{source}",
    status_code=HTTPStatus.ACCEPTED,
    dependencies=[needs(Scope.ADMIN), Depends(takes_no_body)],
)
async def run_source(runtime: TheRuntime, source: SourcePath, response: Response) -> RunRequestAccepted:
    """Queue a run of one source; `Location` is where to watch it."""
    _check_enabled(runtime.catalog, source)
    run_id = await runtime.jobs.request_run(source, Trigger.API)
    response.headers["Location"] = f"/runs/{run_id}"
    return RunRequestAccepted(runs=[QueuedRun(source=source, run_id=run_id)])


async def _ask(runtime: Runtime, source: str) -> QueuedRun | None:
    try:
        return QueuedRun(source=source, run_id=await runtime.jobs.request_run(source, Trigger.API))
    except AlreadyRunning:
        return None


def _check_enabled(catalog: Catalog, source: str) -> None:
    if source not in catalog.sources:
        near = difflib.get_close_matches(source, catalog.sources, n=1)
        raise NotFound(
            f"there is no source {source!r}",
            hint=f"Did you mean {near[0]!r}?" if near else "GET /sources lists what is declared",
        )
    if not catalog.sources[source].enabled:
        raise InvalidParameter(
            "source", f"source {source!r} is disabled", hint=f"Set `enabled: true` in {catalog.path.name}"
        )
