"""Reads the history of runs: lists, single runs, the latest of each source, statistics."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import psycopg
from psycopg.rows import class_row

from kasparro.core.database import Database
from kasparro.schemas.data import ETLStats, RunSummary, SourceStats
from kasparro.schemas.ingest import RunStatus
from kasparro.storage.ledger import GONE
from kasparro.storage.reading import only_source, snapshot


@dataclass(frozen=True, slots=True)
class RunFilter:
    """Which runs; `None` is any. `before`: those that began before the run of that id."""

    source: str | None = None
    status: RunStatus | None = None
    before: str | None = None

    def where(self) -> str:
        conditions = [only_source("source")] if self.source is not None else []
        conditions += ["status = %(status)s"] if self.status is not None else []
        conditions += (
            ["id < (SELECT id FROM etl_run WHERE run_id = %(before)s)"] if self.before is not None else []
        )
        return f"WHERE {' AND '.join(conditions)}" if conditions else ""

    def values(self) -> dict[str, Any]:
        return {"source": self.source, "status": self.status, "before": self.before}

    def clauses(self) -> str:
        """WHERE and ORDER BY, the latest first."""
        return f"{self.where()} ORDER BY {'id DESC' if self.source is None else 'source DESC, id DESC'}"


@dataclass(frozen=True, slots=True)
class EndedRun:
    """How the latest ended run of a source ended, and when."""

    source: str
    status: RunStatus
    end_time: datetime


ANY_RUN = RunFilter()


class RunHistory:
    """The read side of `etl_run` and `etl_totals`. A run that is queued and not yet begun is not in it."""

    def __init__(self, database: Database, lease_seconds: float) -> None:
        self._database = database
        self._lease_seconds = lease_seconds

    async def runs(self, limit: int, offset: int = 0, which: RunFilter = ANY_RUN) -> list[RunSummary]:
        """The latest runs first."""
        async with self._database.driver_transaction() as connection:
            return await self._latest(connection, limit, offset, which)

    async def count(self, which: RunFilter = ANY_RUN) -> int:
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(
                f"SELECT count(*) FROM etl_run AS run {which.where()}", which.values()
            )
            (count,) = await cursor.fetchone() or (0,)
        return int(count)

    async def run(self, run_id: str) -> RunSummary | None:
        async with self._database.driver_transaction() as connection:
            found = await self._summaries(connection, f"{RUNS} WHERE run_id = %(run_id)s", {"run_id": run_id})
        return found[0] if found else None

    async def last_of_each_source(self) -> dict[str, RunSummary]:
        """The latest run of every source that ever had one, begun or ended."""
        async with self._database.driver_transaction() as connection:
            return {run.source: run for run in await self._summaries(connection, LAST_OF_EACH, {})}

    async def last_ended_of_each_source(self) -> list[EndedRun]:
        async with self._database.driver_transaction() as connection:
            cursor = await connection.execute(LAST_ENDED_OF_EACH)
            return [
                EndedRun(source, RunStatus(status), end) for source, status, end in await cursor.fetchall()
            ]

    async def stats(self, limit: int, source: str | None = None) -> ETLStats:
        """All-time totals and the latest runs, of *source* or of all; one snapshot."""
        async with snapshot(self._database) as connection:
            runs = await self._latest(connection, limit, 0, RunFilter(source))
            sources = await _source_stats(connection, source)
        return _stats(runs, sources)

    async def _latest(
        self, connection: psycopg.AsyncConnection[Any], limit: int, offset: int, which: RunFilter
    ) -> list[RunSummary]:
        values = {**which.values(), "limit": limit, "offset": offset}
        statement = f"{RUNS} {which.clauses()} LIMIT %(limit)s OFFSET %(offset)s"
        return await self._summaries(connection, statement, values)

    async def _summaries(
        self, connection: psycopg.AsyncConnection[Any], statement: str, values: dict[str, Any]
    ) -> list[RunSummary]:
        async with connection.cursor(row_factory=class_row(RunSummary)) as cursor:
            await cursor.execute(statement, {"lease_seconds": self._lease_seconds, **values})
            return await cursor.fetchall()


async def _source_stats(connection: psycopg.AsyncConnection[Any], source: str | None) -> list[SourceStats]:
    where = "" if source is None else "WHERE source = %(source)s"
    async with connection.cursor(row_factory=class_row(SourceStats)) as cursor:
        await cursor.execute(f"{SOURCE_STATS} {where} ORDER BY source", {"source": source})
        return await cursor.fetchall()


def _stats(runs: Sequence[RunSummary], sources: Sequence[SourceStats]) -> ETLStats:
    last = runs[0] if runs else None
    return ETLStats(
        last_run_id=last.run_id if last else None,
        total_records_processed=sum(s.records_processed for s in sources),
        total_records_inserted=sum(s.records_inserted for s in sources),
        total_records_failed=sum(s.records_failed for s in sources),
        total_records_deleted=sum(s.records_deleted for s in sources),
        last_run_timestamp=last.start_time if last else None,
        last_run_status=last.status if last else None,
        last_success_timestamp=_latest_time(s.last_success_timestamp for s in sources),
        last_failure_timestamp=_latest_time(s.last_failure_timestamp for s in sources),
        runs=list(runs),
        sources=list(sources),
    )


def _latest_time(times: Iterable[datetime | None]) -> datetime | None:
    return max((time for time in times if time is not None), default=None)


STALE = f"coalesce({GONE}, false) AS stale"
COLUMNS = f"""run_id, source, status, records_processed, records_inserted, records_updated, records_unchanged,
    records_failed, records_duplicates, records_deleted, start_time, end_time, duration_ms, error_message, metadata, {STALE},
    CASE WHEN NOT metadata ? 'resumed_by' THEN (metadata->>'resume_at')::timestamptz END AS resume_at"""
RUNS = f"SELECT {COLUMNS} FROM etl_run AS run"
# One index probe a source, however long the history is.
EACH_SOURCE = """
    WITH RECURSIVE each (source) AS (
        SELECT min(source) FROM etl_run
        UNION ALL
        SELECT (SELECT min(source) FROM etl_run WHERE source > each.source) FROM each WHERE each.source IS NOT NULL
    )
"""
OF_EACH = only_source("run.source", "each.source")
LAST_OF_EACH = f"""{EACH_SOURCE}
    SELECT last.* FROM each CROSS JOIN LATERAL (
        SELECT {COLUMNS} FROM etl_run AS run WHERE {OF_EACH} ORDER BY run.source DESC, run.id DESC LIMIT 1
    ) AS last
"""
LAST_ENDED_OF_EACH = f"""{EACH_SOURCE}
    SELECT last.* FROM each CROSS JOIN LATERAL (
        SELECT source, status, end_time FROM etl_run AS run
        WHERE {OF_EACH} AND end_time IS NOT NULL ORDER BY run.source DESC, run.id DESC LIMIT 1
    ) AS last
"""
SOURCE_STATS = """
    SELECT source,
        coalesce(record_count, 0) AS record_count,
        coalesce(records_processed, 0) AS records_processed,
        coalesce(records_inserted, 0) AS records_inserted,
        coalesce(records_updated, 0) AS records_updated,
        coalesce(records_unchanged, 0) AS records_unchanged,
        coalesce(records_failed, 0) AS records_failed,
        coalesce(records_duplicates, 0) AS records_duplicates,
        coalesce(records_deleted, 0) AS records_deleted,
        last_success AS last_success_timestamp,
        last_failure AS last_failure_timestamp
    FROM etl_totals FULL JOIN etl_checkpoint USING (source)
"""
