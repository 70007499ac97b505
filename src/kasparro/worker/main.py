"""The worker: executes the runs that the API and the schedules queued, and cares for those whose process died.

Several loops side by side, each of which outlives the database: the heart, the claims, the notices, the schedules, the parked
runs, maintenance. Runs are tasks beside them, so an outage of the queue does not touch a run that can wait it out. Called by
`kasparro worker` and `kasparro up`, which own the signals: setting `stop` ends the worker within its grace period.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

import structlog
from structlog.contextvars import bound_contextvars

from kasparro.core.errors import StorageError
from kasparro.runtime import Runtime
from kasparro.schemas.ingest import RunReport
from kasparro.storage.ingest_jobs import IngestJob
from kasparro.storage.job_claims import JobClaims
from kasparro.storage.job_notices import listen
from kasparro.storage.leases import holder_name
from kasparro.storage.parked_runs import ParkedRuns
from kasparro.worker.execution import Execution
from kasparro.worker.maintenance import Maintenance
from kasparro.worker.outcomes import Ingest
from kasparro.worker.pace import Pace
from kasparro.worker.schedules import Scheduler
from kasparro.worker.supervision import Loop, Outage
from kasparro.worker.waking import Waker

log = structlog.get_logger(__name__)

CONCURRENCY: Final = 4
PACE: Final = Pace()

ENDING: Final = 1.0
"""Seconds for a loop to finish its round before it is cancelled; the one that listens never does by itself."""


async def run_worker(
    runtime: Runtime, *, stop: asyncio.Event, concurrency: int = CONCURRENCY, pace: Pace = PACE
) -> None:
    """Work until *stop* is set, then finish the batches in hand.

    Up to *concurrency* sources are ingested at once. Raises `DatabaseUnavailable` only when there is no database to begin with.
    """
    claims = JobClaims(runtime.jobs.database)
    outage = Outage()
    with bound_contextvars(worker=holder_name()):
        async with heart(claims, outage, pace) as worker_id:
            execution = Execution(
                claims, worker_id, ingest_with(runtime, stop), concurrency, stop, pace, outage
            )
            loops = make_loops(runtime, claims, execution, outage, pace)
            log.info("worker.started", concurrency=concurrency)
            try:
                await run_until(stop, loops)
            except asyncio.CancelledError:
                await execution.drain(0)
                raise
            log.info("worker.stopping", grace_s=pace.grace)
            await execution.drain(pace.grace)
        log.info("worker.stopped")


def ingest_with(runtime: Runtime, stop: asyncio.Event) -> Ingest:
    async def ingest(job: IngestJob) -> RunReport:
        return await runtime.ingestion.ingest(
            job.source, run_id=job.run_id, full=job.full, trigger=job.trigger, stop=stop
        )

    return ingest


def make_loops(
    runtime: Runtime, claims: JobClaims, execution: Execution, outage: Outage, pace: Pace
) -> list[Loop]:
    async def notices() -> float:
        await listen(runtime.url, execution.wake.set)
        return 0.0

    scheduler = Scheduler(runtime.catalog, runtime.jobs, runtime.limits)
    waker = Waker(runtime.catalog, ParkedRuns(runtime.jobs.database), runtime.limits)
    maintenance = Maintenance(claims, outage, pace, runtime.settings.etl_lease_seconds, execution.wake.set)
    return [
        Loop("claims", execution.step, outage, pace.backoff, alarm=execution.wake),
        Loop("notices", notices, outage, pace.backoff),
        Loop("schedules", scheduler.step, outage, pace.backoff),
        Loop("parked", waker.step, outage, pace.backoff),
        Loop("maintenance", maintenance.step, outage, pace.backoff),
    ]


async def run_until(stop: asyncio.Event, loops: list[Loop]) -> None:
    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(loop.run(stop), name=loop.name) for loop in loops]
        await stop.wait()
        await end(tasks)


@asynccontextmanager
async def heart(claims: JobClaims, outage: Outage, pace: Pace) -> AsyncIterator[int]:
    """A worker id that shows signs of life until the block ends, also while the last runs come to their end."""
    worker_id = await claims.register()

    async def beat() -> float:
        await claims.beat(worker_id)
        outage.over()
        return pace.heartbeat

    over = asyncio.Event()
    beating = asyncio.create_task(Loop("heart", beat, outage, pace.backoff).run(over), name="heart")
    try:
        yield worker_id
    finally:
        over.set()
        await end([beating])
        try:
            await claims.unregister(worker_id)
        except StorageError as error:
            log.warning("worker.not_unregistered", reason=str(error))


async def end(tasks: list[asyncio.Task[None]]) -> None:
    """Wait for *tasks*, which have been told to end, and cancel those that do not."""
    _, late = await asyncio.wait(tasks, timeout=ENDING)
    for task in late:
        task.cancel()
    if late:
        await asyncio.wait(late)
