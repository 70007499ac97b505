"""What several entrances tell of the operation: the sources as they stand, and a run wherever it is."""

from __future__ import annotations

from typing import Any

from kasparro.api.reader import Reader
from kasparro.core.etl_config import SourceDeclaration
from kasparro.runtime import Runtime
from kasparro.schemas.data import CheckpointView, RunSummary, SourceView
from kasparro.schemas.ingest import RunStatus
from kasparro.schemas.limits import Because, Standing
from kasparro.services.freshness import Freshness
from kasparro.storage.versions import DatasetState


async def list_of_sources(runtime: Runtime, reader: Reader) -> list[SourceView]:
    """Declared sources in the order of the catalog, then those that only have data."""
    standings = await runtime.limits.of(runtime.catalog.sources)
    checkpoints = {checkpoint.source: checkpoint for checkpoint in await runtime.checkpoints.all()}
    runs = await runtime.history.last_of_each_source()
    state = await reader.versions.current()
    declared = runtime.catalog.sources
    names = [*declared, *sorted((checkpoints.keys() | runs.keys()) - declared.keys())]
    return [
        _view(name, declared.get(name), checkpoints.get(name), runs.get(name)).model_copy(
            update=_not_asked(standings.get(name)) | _freshness(reader.freshness, state, name)
        )
        for name in names
    ]


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


async def find_run(runtime: Runtime, run_id: str) -> RunSummary | None:
    """A run that has begun, or waits for a worker."""
    # Between the first two questions a queued run may have begun.
    return (
        await runtime.history.run(run_id)
        or await _queued(runtime, run_id)
        or await runtime.history.run(run_id)
    )


async def _queued(runtime: Runtime, run_id: str) -> RunSummary | None:
    queued = await runtime.jobs.queued(run_id)
    if queued is None:
        return None
    return RunSummary(
        run_id=queued.run_id,
        source=queued.source,
        status=RunStatus.IN_PROGRESS,
        records_processed=0,
        records_inserted=0,
        records_updated=0,
        records_unchanged=0,
        records_failed=0,
        records_duplicates=0,
        records_deleted=0,
        start_time=queued.requested_at,
        end_time=None,
        duration_ms=None,
        error_message=None,
        metadata={"queued": True},
        stale=False,
    )
