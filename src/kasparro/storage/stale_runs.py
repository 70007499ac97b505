"""Runs whose process is gone: a run in progress that nobody has heard of for longer than a lease is failed."""

from __future__ import annotations

from kasparro.core.database import Database
from kasparro.schemas.ingest import RunId, RunStatus
from kasparro.storage.ledger import FAIL_THE_DEAD, GONE, MARK_SOURCE


async def fail_stale_runs(database: Database, lease_seconds: float) -> list[RunId]:
    """Mark as failed the runs with no sign of life for *lease_seconds*, and return them. Called by every worker, now and then.

    A run that holds a living lease is alive, whatever its heartbeat says. The run ends when it was last heard of, not when
    that was noticed.
    """
    async with database.driver_transaction() as connection:
        cursor = await connection.execute(
            f"{FAIL_THE_DEAD} AND {GONE} RETURNING run_id, source", {"lease_seconds": lease_seconds}
        )
        failed = await cursor.fetchall()
        for _, source in failed:
            await connection.execute(MARK_SOURCE, {"source": source, "status": RunStatus.FAILED})
        return [RunId(run_id) for run_id, _ in failed]
