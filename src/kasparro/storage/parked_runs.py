"""Runs that were parked and are to go on: found in the history, queued when their time has come, by one worker of all.

That a run is parked is said by the latest run of its source alone, so whatever else begins for the source takes its place.
Called by `worker.waking`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from psycopg.rows import class_row

from kasparro.core.database import Database
from kasparro.schemas.ingest import RunId, SourceName, Trigger, new_run_id
from kasparro.storage.ingest_jobs import IngestJob, Occupied, link_forward, lock_source, occupied, queue_job

LATEST: Final = """
    SELECT last.* FROM unnest(%(sources)s::text[]) AS declared (name) CROSS JOIN LATERAL (
        SELECT source, run_id, status, (metadata->>'resume_at')::timestamptz AS resume_at,
               coalesce((metadata->>'full')::bool, false) AND records_processed = 0 AS from_the_beginning
          FROM etl_run AS run
         WHERE run.source = declared.name AND metadata->>'trigger' IS DISTINCT FROM 'replay'
         ORDER BY run.source DESC, run.id DESC LIMIT 1
    ) AS last
"""
PARKED: Final = f"SELECT * FROM ({LATEST}) AS latest WHERE status = 'partial' AND resume_at IS NOT NULL"


@dataclass(frozen=True, slots=True)
class ParkedRun:
    """A run that goes on at `resume_at`; `from_the_beginning`: it was to fetch everything, and has committed nothing of it."""

    source: SourceName
    run_id: RunId
    status: str
    resume_at: datetime
    from_the_beginning: bool


class ParkedRuns:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def of(self, sources: Sequence[SourceName]) -> list[ParkedRun]:
        """Those of *sources* that are parked."""
        async with (
            self._database.driver_transaction() as connection,
            connection.cursor(row_factory=class_row(ParkedRun)) as cursor,
        ):
            await cursor.execute(PARKED, {"sources": list(sources)})
            return await cursor.fetchall()

    async def resume(self, parked: ParkedRun) -> RunId | Occupied | None:
        """Queue the run that continues *parked*.

        Returns its id; or what occupies the source; or None when it has been continued already, by another worker or by hand.
        """
        job = IngestJob(
            parked.source,
            new_run_id(parked.source),
            Trigger.RESUME,
            full=parked.from_the_beginning,
            resumes=parked.run_id,
        )
        async with self._database.driver_transaction() as connection:
            await lock_source(connection, parked.source)
            cursor = await connection.execute(PARKED, {"sources": [parked.source]})
            latest = await cursor.fetchone()
            if latest is None or latest[1] != parked.run_id:
                return None
            if found := await occupied(connection, parked.source):
                return found
            await queue_job(connection, job)
            await link_forward(connection, parked.run_id, job.run_id)
        return job.run_id
