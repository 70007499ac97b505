"""The job queue, as those see it who ask for runs: the API and the scheduler.

A run that is asked for is a row in the tables of procrastinate, on the same database; `worker` executes it, by way of
`job_claims`. Of each source at most one run is queued or running: who asks for a second is told which one it is.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import scalar_row

from kasparro.core.database import Database, PoolOptions
from kasparro.core.errors import AlreadyRunning
from kasparro.schemas.ingest import RunId, SourceName, Trigger, new_run_id
from kasparro.storage.ingest_jobs import (
    QUEUE,
    TASK,
    Connection,
    IngestJob,
    Occupied,
    lock_source,
    occupied,
    queue_job,
)

POOL: Final = PoolOptions(size=2, overflow=8, checkout=5.0, statement=10.0, lock=5.0, name="kasparro-jobs")


@dataclass(frozen=True, slots=True)
class QueuedRun:
    """A run that was asked for and has not begun."""

    run_id: RunId
    source: SourceName
    trigger: Trigger
    resumes: RunId | None
    requested_at: datetime


class JobQueue:
    """Asks for runs, and tells of those that wait. Its pool is its own, so neither reads nor loads can starve it."""

    def __init__(self, url: str) -> None:
        self.database = Database(url, POOL)

    async def close(self) -> None:
        await self.database.close()

    async def request_run(self, source: str, trigger: Trigger, *, full: bool = False) -> RunId:
        """Queue a run and return the id it will have. Of several who ask at once, one succeeds.

        Raises `AlreadyRunning` when a run of *source* is queued, running, or in the foreground somewhere.
        """
        job = IngestJob(SourceName(source), new_run_id(source), trigger, full)
        async with self.database.driver_transaction() as connection:
            await lock_source(connection, source)
            if found := await occupied(connection, source):
                raise AlreadyRunning(f"source {source!r} is {found}", hint="Wait for that run to end")
            await queue_job(connection, job)
        return job.run_id

    async def request_scheduled(self, source: SourceName, moment: datetime) -> RunId | Occupied | None:
        """Queue the run that the schedule of *source* names for *moment*; whichever worker comes first does it.

        Returns the run queued; or what occupies the source, in which case this moment is skipped; or None when the moment has
        been dealt with already, by another worker or by a run that began since.
        """
        timestamp = int(moment.timestamp())
        job = IngestJob(source, RunId(f"run_{source}_{timestamp:08x}"), Trigger.SCHEDULE)
        async with self.database.driver_transaction() as connection:
            await lock_source(connection, source)
            if await _dealt_with(connection, source, timestamp):
                return None
            if found := await occupied(connection, source):
                await _skip(connection, source, timestamp)
                return found
            await connection.execute(
                "SELECT procrastinate_defer_periodic_job_v2(%s, %s, %s, %s, 0, %s, %s, %s)",
                [QUEUE, job.lock, job.lock, TASK, source, timestamp, job.as_args()],
            )
        return job.run_id

    async def skip_scheduled(self, source: SourceName, moment: datetime) -> bool:
        """Leave *moment* out, for a reason the queue does not know. False: it has been dealt with already."""
        timestamp = int(moment.timestamp())
        async with self.database.driver_transaction() as connection:
            await lock_source(connection, source)
            if await _dealt_with(connection, source, timestamp):
                return False
            await _skip(connection, source, timestamp)
        return True

    async def queued(self, run_id: str) -> QueuedRun | None:
        """The run *run_id* if it waits for a worker, or a worker is about to begin it."""
        async with self.database.driver_transaction() as connection:
            cursor = await connection.execute(
                """
                SELECT args, (SELECT min(at) FROM procrastinate_events WHERE job_id = job.id)
                  FROM procrastinate_jobs AS job
                 WHERE status IN ('todo', 'doing') AND queue_name = %s AND args->>'run_id' = %s
                """,
                [QUEUE, run_id],
            )
            if row := await cursor.fetchone():
                job = IngestJob.from_args(row[0])
                return QueuedRun(job.run_id, job.source, job.trigger, job.resumes, requested_at=row[1])
        return None

    async def depth(self) -> int:
        """How many runs wait for a worker."""
        async with self.database.driver_transaction() as connection:
            cursor = connection.cursor(row_factory=scalar_row)
            await cursor.execute(
                "SELECT count(*) FROM procrastinate_jobs WHERE status = 'todo' AND queue_name = %s", [QUEUE]
            )
            return int(await cursor.fetchone() or 0)


async def _dealt_with(connection: Connection, source: SourceName, timestamp: int) -> bool:
    """Whether this or a later moment was queued or skipped, or any run of the source began since."""
    cursor = await connection.execute(
        """
        SELECT 1 FROM procrastinate_periodic_defers
         WHERE task_name = %(task)s AND periodic_id = %(source)s AND defer_timestamp >= %(timestamp)s
        UNION ALL
        SELECT 1 FROM etl_run WHERE source = %(source)s AND start_time >= to_timestamp(%(timestamp)s)
        LIMIT 1
        """,
        {"task": TASK, "source": source, "timestamp": timestamp},
    )
    return await cursor.fetchone() is not None


async def _skip(connection: Connection, source: SourceName, timestamp: int) -> None:
    """Remember that the moment was dealt with, and forget those before it."""
    await connection.execute(
        "DELETE FROM procrastinate_periodic_defers WHERE task_name = %s AND periodic_id = %s", [TASK, source]
    )
    await connection.execute(
        """
        INSERT INTO procrastinate_periodic_defers (task_name, periodic_id, defer_timestamp) VALUES (%s, %s, %s)
        """,
        [TASK, source, timestamp],
    )
