"""The job queue, as a worker sees it: claim a job, give it back, take over those of the dead.

Every change to a claimed job names the worker that holds it and changes nothing when another has taken over meanwhile, so a
process that was stopped for a while cannot end a job that is no longer its own. Called by `worker` only.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Final, Literal

from psycopg.types.json import Jsonb

from kasparro.core.database import Database
from kasparro.core.errors import RunInterrupted
from kasparro.schemas.ingest import RunId, RunStatus, new_run_id
from kasparro.storage.ingest_jobs import QUEUE, Connection, IngestJob, link_forward
from kasparro.storage.ledger import MARK_SOURCE

MAX_TAKEOVERS: Final = 5
"""A job that has cost so many processes in a row, without one of them committing anything, is not given to another."""

KEEP_DAYS: Final = 7
PRUNE_AT_ONCE: Final = 1000

CUT_OFF: Final = ("interrupted:", str(RunInterrupted()))
"""How the error message of a run begins whose process died or was told to stop, and which did not fail by itself."""


@dataclass(frozen=True, slots=True)
class Claim:
    """A job in the hands of a worker."""

    job_id: int
    worker_id: int | None
    job: IngestJob


@dataclass(frozen=True, slots=True)
class TakenOver:
    """What became of a job whose run was cut off; `job` is as it will be run when it is queued again.

    `finished`: its run had come to its end; `lost`: another worker holds the job by now.
    """

    job: IngestJob
    outcome: Literal["queued", "finished", "given_up", "lost"]


class JobClaims:
    """Claims on the queue. One method is one transaction; the database's clock counts."""

    def __init__(self, database: Database) -> None:
        self.database = database

    async def register(self) -> int:
        """Make a worker known; it is alive as long as it calls `beat`."""
        async with self.database.driver_transaction() as connection:
            cursor = await connection.execute("SELECT worker_id FROM procrastinate_register_worker_v1()")
            row = await cursor.fetchone()
            assert row is not None  # noqa: S101  # INSERT ... RETURNING has a row
            return int(row[0])

    async def beat(self, worker_id: int) -> None:
        """Show a sign of life, also when the others had already given this worker up."""
        async with self.database.driver_transaction() as connection:
            await connection.execute(
                """
                INSERT INTO procrastinate_workers (id, last_heartbeat) OVERRIDING SYSTEM VALUE
                VALUES (%s, clock_timestamp())
                ON CONFLICT (id) DO UPDATE SET last_heartbeat = excluded.last_heartbeat
                """,
                [worker_id],
            )

    async def unregister(self, worker_id: int) -> None:
        async with self.database.driver_transaction() as connection:
            await connection.execute("SELECT procrastinate_unregister_worker_v1(%s)", [worker_id])

    async def claim(self, worker_id: int) -> Claim | None:
        """The oldest job that is due and whose source no other job is running, now held by this worker."""
        async with self.database.driver_transaction() as connection:
            cursor = await connection.execute(
                "SELECT id, worker_id, args FROM procrastinate_fetch_job_v2(%s::varchar[], %s) WHERE id IS NOT NULL",
                [[QUEUE], worker_id],
            )
            row = await cursor.fetchone()
        return Claim(row[0], row[1], IngestJob.from_args(row[2])) if row else None

    async def finish(self, claim: Claim) -> bool:
        """The job is done, however its run ended. False: it is not ours any more."""
        async with self.database.driver_transaction() as connection:
            if claim.job.resumes:
                await _link_back(connection, claim.job.run_id, claim.job.resumes)
            return await _end(connection, claim, "succeeded")

    async def postpone(self, claim: Claim, seconds: float) -> bool:
        """Try again after *seconds*: the source was busy, the run has not begun."""
        async with self.database.driver_transaction() as connection:
            waiting = replace(claim.job, waits=claim.job.waits + 1)
            return await _queue_again(connection, claim, waiting, after=seconds)

    async def release(self, claim: Claim) -> TakenOver:
        """Hand the job to whichever worker comes next: this one was told to stop."""
        async with self.database.driver_transaction() as connection:
            return await _hand_over(connection, claim, claim.job, after=0)

    async def retry(self, claim: Claim, seconds: float) -> TakenOver:
        """Try again after *seconds*: the database failed us. Counts like a lost process."""
        async with self.database.driver_transaction() as connection:
            return await _next_attempt(connection, claim, after=seconds)

    async def give_up(self, claim: Claim, reason: str) -> bool:
        """End the job as failed, and its run visibly so, although it may never have begun."""
        async with self.database.driver_transaction() as connection:
            return await _give_up(connection, claim, reason)

    async def take_over(self, silent_for: float) -> Sequence[TakenOver]:
        """Deal with the jobs of workers that are gone or have been silent for so many seconds; each is seen by one caller.

        A job whose run still has its lease is left alone until that is over: nobody could continue it before.
        """
        async with self.database.driver_transaction() as connection:
            cursor = await connection.execute(
                """
                SELECT job.id, job.worker_id, job.args
                  FROM procrastinate_jobs AS job LEFT JOIN procrastinate_workers AS worker ON worker.id = job.worker_id
                 WHERE job.status = 'doing' AND job.queue_name = %s
                   AND (worker.id IS NULL
                        OR worker.last_heartbeat < clock_timestamp() - make_interval(secs => %s))
                   AND NOT EXISTS (SELECT FROM source_lease AS lease
                                    WHERE lease.source = job.args->>'source' AND lease.run_id = job.args->>'run_id'
                                      AND lease.holder IS NOT NULL AND lease.expires_at > clock_timestamp())
                   FOR UPDATE OF job SKIP LOCKED
                """,
                [QUEUE, silent_for],
            )
            stalled = [Claim(row[0], row[1], IngestJob.from_args(row[2])) for row in await cursor.fetchall()]
            return [await _next_attempt(connection, claim, after=0) for claim in stalled]

    async def prune(self) -> int:
        """Forget jobs that ended more than a week ago, a bounded number at once, and workers silent for an hour."""
        async with self.database.driver_transaction() as connection:
            await connection.execute("SELECT procrastinate_prune_stalled_workers_v1(3600)")
            cursor = await connection.execute(
                """
                DELETE FROM procrastinate_jobs WHERE id IN (
                    SELECT id FROM procrastinate_jobs AS job
                     WHERE queue_name = %s AND status IN ('succeeded', 'failed', 'cancelled', 'aborted')
                       AND NOT EXISTS (SELECT FROM procrastinate_events
                                        WHERE job_id = job.id AND at > clock_timestamp() - make_interval(days => %s))
                     LIMIT %s FOR UPDATE SKIP LOCKED)
                """,
                [QUEUE, KEEP_DAYS, PRUNE_AT_ONCE],
            )
            return cursor.rowcount


async def _next_attempt(connection: Connection, claim: Claim, *, after: float) -> TakenOver:
    """One more process was lost with this job, or one more time the database failed it.

    A run that has committed something has left the place where the one before it died: the count begins anew. Not so a full
    run, which commits the same beginning each time.
    """
    moved = not claim.job.full and await _has_committed(connection, claim.job.run_id)
    job = replace(claim.job, takeovers=1 if moved else claim.job.takeovers + 1)
    if job.takeovers > MAX_TAKEOVERS:
        await _give_up(connection, claim, await _crash_loop(connection, claim.job))
        return TakenOver(claim.job, "given_up")
    return await _hand_over(connection, claim, job, after=after)


async def _has_committed(connection: Connection, run_id: RunId) -> bool:
    statement = "SELECT records_processed > 0 FROM etl_run WHERE run_id = %s"
    row = await (await connection.execute(statement, [run_id])).fetchone()
    return bool(row and row[0])


async def _crash_loop(connection: Connection, job: IngestJob) -> str:
    """Say where the processes died, for whoever has to find out why."""
    statement = "SELECT last_processed_id, cursor::text FROM etl_checkpoint WHERE source = %s"
    row = await (await connection.execute(statement, [job.source])).fetchone()
    last, cursor = row or (None, None)
    place = f"after record {last!r} (checkpoint {cursor})" if cursor else "at the beginning of the source"
    return (
        f"crash loop: given up after {MAX_TAKEOVERS} processes in a row were lost with it at the same position, {place}. "
        "The records there, or the memory they need, end the process: the log of the workers and of the system say how"
    )


async def _hand_over(connection: Connection, claim: Claim, job: IngestJob, *, after: float) -> TakenOver:
    """Queue *job* again if its run did not come to an end; a run that had begun is continued by a new one."""
    cursor = await connection.execute(
        "SELECT status, error_message FROM etl_run WHERE run_id = %s", [job.run_id]
    )
    begun = await cursor.fetchone()
    if begun is not None:
        status, error = begun
        cut_off = status == RunStatus.IN_PROGRESS or (error or "").startswith(CUT_OFF)
        if not cut_off:
            await _end(connection, claim, "succeeded")
            return TakenOver(job, "finished")
        job = replace(job, run_id=new_run_id(job.source), resumes=job.run_id)
    if not await _queue_again(connection, claim, job, after=after):
        return TakenOver(claim.job, "lost")
    if job.run_id != claim.job.run_id:
        await link_forward(connection, claim.job.run_id, job.run_id)
    return TakenOver(job, "queued")


async def _queue_again(connection: Connection, claim: Claim, job: IngestJob, *, after: float) -> bool:
    """The queueing lock stays behind: the schedule may have queued another run of the source meanwhile."""
    cursor = await connection.execute(
        """
        UPDATE procrastinate_jobs
           SET status = 'todo', attempts = attempts + 1, worker_id = NULL, queueing_lock = NULL, abort_requested = false,
               args = %s, scheduled_at = clock_timestamp() + make_interval(secs => %s)
         WHERE id = %s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %s
        """,
        [job.as_args(), after, claim.job_id, claim.worker_id],
    )
    return cursor.rowcount == 1


async def _end(connection: Connection, claim: Claim, status: Literal["succeeded", "failed"]) -> bool:
    cursor = await connection.execute(
        """
        UPDATE procrastinate_jobs
           SET status = %s::procrastinate_job_status, attempts = attempts + 1, abort_requested = false
         WHERE id = %s AND status = 'doing' AND worker_id IS NOT DISTINCT FROM %s
        """,
        [status, claim.job_id, claim.worker_id],
    )
    return cursor.rowcount == 1


async def _give_up(connection: Connection, claim: Claim, reason: str) -> bool:
    if not await _end(connection, claim, "failed"):
        return False
    job = claim.job
    details = {"trigger": job.trigger, "full": job.full} | ({"resumes": job.resumes} if job.resumes else {})
    cursor = await connection.execute(
        """
        INSERT INTO etl_run AS stored (run_id, source, status, end_time, duration_ms, error_message, metadata)
        VALUES (%s, %s, 'failed', now(), 0, %s, %s) ON CONFLICT (run_id) DO UPDATE
        SET status = 'failed', error_message = excluded.error_message, end_time = coalesce(stored.end_time, now()),
            duration_ms = coalesce(stored.duration_ms, extract(epoch FROM now() - stored.start_time) * 1000)
        WHERE stored.status = 'in_progress' OR starts_with(stored.error_message, %s)
        """,
        [job.run_id, job.source, reason, Jsonb(details), CUT_OFF[0]],
    )
    if cursor.rowcount == 1:
        await connection.execute(MARK_SOURCE, {"source": job.source, "status": RunStatus.FAILED})
    return True


async def _link_back(connection: Connection, run_id: RunId, resumes: RunId) -> None:
    await connection.execute(
        "UPDATE etl_run SET metadata = jsonb_build_object('resumes', %s::text) || metadata WHERE run_id = %s",
        [resumes, run_id],
    )
