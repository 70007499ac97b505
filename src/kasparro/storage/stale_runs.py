"""Runs whose process is gone: a run in progress that nobody has heard of for longer than a lease is failed."""

from __future__ import annotations

from kasparro.core.database import Database
from kasparro.schemas.ingest import RunId, RunStatus
from kasparro.storage.ledger import MARK_SOURCE


async def fail_stale_runs(database: Database, lease_seconds: float) -> list[RunId]:
    """Mark as failed the runs with no sign of life for *lease_seconds*, and return them. Called by every worker, now and then.

    A run that holds a living lease is alive, whatever its heartbeat says. The run ends when it was last heard of, not when
    that was noticed.
    """
    async with database.driver_transaction() as connection:
        cursor = await connection.execute(
            """
            UPDATE etl_run AS run
               SET status = 'failed',
                   end_time = coalesce(heartbeat, start_time),
                   duration_ms = 1000 * extract(epoch FROM coalesce(heartbeat, start_time) - start_time),
                   error_message = format(
                       'interrupted: the process that ran it is gone (last sign of life %%s UTC)',
                       to_char(coalesce(heartbeat, start_time) AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS'))
             WHERE status = 'in_progress'
               AND coalesce(heartbeat, start_time) < clock_timestamp() - make_interval(secs => %s)
               AND NOT EXISTS (
                   SELECT FROM source_lease AS lease
                    WHERE lease.source = run.source AND lease.run_id = run.run_id
                      AND lease.holder IS NOT NULL AND lease.expires_at > clock_timestamp())
            RETURNING run_id, source
            """,
            [lease_seconds],
        )
        failed = await cursor.fetchall()
        for _, source in failed:
            await connection.execute(MARK_SOURCE, {"source": source, "status": RunStatus.FAILED})
        return [RunId(run_id) for run_id, _ in failed]
