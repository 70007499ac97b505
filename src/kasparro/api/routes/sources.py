"""GET /sources: what is declared, and what has data, whether declared or not."""

from __future__ import annotations

from typing import Any

from fastapi import APIRouter

from kasparro.api.answers import SourceList
from kasparro.api.dependencies import TheReader, TheRuntime
from kasparro.api.openapi import DATABASE, problems
from kasparro.api.parameters import StrictRoute
from kasparro.api.security import needs
from kasparro.core.config import Scope
from kasparro.core.etl_config import SourceDeclaration
from kasparro.schemas.data import CheckpointView, RunSummary, SourceView
from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.limits import Because, Standing
from kasparro.services.freshness import Freshness
from kasparro.storage.versions import DatasetState

router = APIRouter(route_class=StrictRoute, tags=["operation"])


@router.get("/sources", dependencies=[needs(Scope.READ)], responses=problems(*DATABASE))
async def list_sources(runtime: TheRuntime, reader: TheReader) -> SourceList:
    """Declared sources in the order of the catalog, then those that only have data."""
    standings = await runtime.limits.of(runtime.catalog.sources)
    checkpoints = {checkpoint.source: checkpoint for checkpoint in await runtime.checkpoints.all()}
    runs = await runtime.history.last_of_each_source()
    state = await reader.versions.current()
    declared = runtime.catalog.sources
    names = [*declared, *sorted((checkpoints.keys() | runs.keys()) - declared.keys())]
    return SourceList(
        sources=[
            _view(name, declared.get(name), checkpoints.get(name), runs.get(name)).model_copy(
                update=_not_asked(standings.get(name)) | _freshness(reader.freshness, state, name)
            )
            for name in names
        ]
    )


def _not_asked(standing: Standing | None) -> dict[str, Any]:
    blocked = standing.blocked if standing else None
    if standing is None or blocked is None or blocked.because is Because.RATE:
        return {}
    return {"not_before": blocked.until, "not_asked": standing.explanation}


def _freshness(freshness: Freshness, state: DatasetState, name: str) -> dict[str, Any]:
    promised = freshness.promised.get(name)
    if promised is None:
        return {}
    return {"freshness_seconds": promised.total_seconds(), "stale": freshness.of(name, state)}


def _view(
    name: str,
    declared: SourceDeclaration | None,
    checkpoint: CheckpointView | None,
    last_run: RunSummary | None,
) -> SourceView:
    return SourceView(
        name=name,
        type=declared.type if declared else None,
        description=declared.description if declared else None,
        enabled=declared.enabled if declared else False,
        declared=declared is not None,
        schedule=declared.schedule if declared else None,
        record_count=checkpoint.record_count if checkpoint else 0,
        version=checkpoint.version if checkpoint else 0,
        running=last_run is not None and last_run.status is RunStatus.IN_PROGRESS and not last_run.stale,
        last_run=last_run,
    )
