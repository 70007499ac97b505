"""What can be measured in the database, for `/metrics`: counters of ingestion, how fresh each source is, how long the queue."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from psycopg.rows import dict_row

from kasparro.core.database import Database
from kasparro.core.models import COUNTERS
from kasparro.storage.ingest_jobs import QUEUE
from kasparro.storage.reading import snapshot

OUTCOMES: Final = tuple(COUNTERS[1:])
MOST_SOURCES: Final = 1000
"""A label per source: one that makes up names must not fill the memory of who collects them."""


@dataclass(frozen=True, slots=True)
class SourceMeasures:
    """One source. Times are seconds since 1970; None: never."""

    source: str
    outcomes: dict[str, int]
    deleted: int
    records: int
    version: int
    last_success: float | None
    last_failure: float | None
    age: float | None
    """Seconds since its last successful run ended, by the database's clock."""


@dataclass(frozen=True, slots=True)
class Measures:
    """All of one snapshot. `runs` counts by source and status."""

    sources: Sequence[SourceMeasures]
    runs: dict[tuple[str, str], int] = field(default_factory=dict)
    jobs_waiting: int = 0
    longest_wait: float = 0.0


class Measurements:
    def __init__(self, database: Database) -> None:
        self._database = database

    async def take(self) -> Measures:
        async with (
            snapshot(self._database) as connection,
            connection.cursor(row_factory=dict_row) as cursor,
        ):
            await cursor.execute(SOURCES, {"most": MOST_SOURCES})
            sources = [_source(row) for row in await cursor.fetchall()]
            await cursor.execute(RUNS, {"most": MOST_SOURCES})
            runs = {(row["source"], row["status"]): row["runs"] for row in await cursor.fetchall()}
            await cursor.execute(JOBS, {"queue": QUEUE})
            (jobs,) = await cursor.fetchall()
        return Measures(sources, runs, jobs["waiting"], max(0.0, float(jobs["longest"])))


def _source(row: dict[str, Any]) -> SourceMeasures:
    return SourceMeasures(
        source=row["source"],
        outcomes={outcome: row[f"records_{outcome}"] for outcome in OUTCOMES},
        deleted=row["records_deleted"],
        records=row["record_count"],
        version=row["version"],
        last_success=row["last_success"],
        last_failure=row["last_failure"],
        age=row["age"],
    )


SOURCES: Final = f"""
    SELECT source, {", ".join(f"coalesce(records_{outcome}, 0) AS records_{outcome}" for outcome in OUTCOMES)},
        coalesce(records_deleted, 0) AS records_deleted,
        coalesce(record_count, 0) AS record_count, coalesce(version, 0) AS version,
        extract(epoch FROM last_success)::float8 AS last_success,
        extract(epoch FROM last_failure)::float8 AS last_failure,
        extract(epoch FROM clock_timestamp() - last_success)::float8 AS age
    FROM etl_totals FULL JOIN etl_checkpoint USING (source)
    ORDER BY source LIMIT %(most)s
"""
RUNS: Final = """
    SELECT source, status, count(*) AS runs FROM etl_run GROUP BY source, status ORDER BY source, status
    LIMIT 4 * %(most)s
"""
# A job that is to be tried later is not waiting yet.
JOBS: Final = """
    SELECT count(*) AS waiting, coalesce(extract(epoch FROM clock_timestamp() - min(since)), 0)::float8 AS longest
    FROM (
        SELECT greatest(job.scheduled_at, (
            SELECT min(event.at) FROM procrastinate_events AS event WHERE event.job_id = job.id
        )) AS since
        FROM procrastinate_jobs AS job
        WHERE job.queue_name = %(queue)s AND job.status = 'todo'
          AND (job.scheduled_at IS NULL OR job.scheduled_at <= clock_timestamp())
    ) AS jobs
"""
