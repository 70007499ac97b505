"""Runs and their counters: begin, count, end. Every function works inside the caller's transaction."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from psycopg import AsyncConnection
from psycopg.types.json import Jsonb

from kasparro.schemas.ingest import Notice, RunCounters, RunId, RunStatus, SourceName, outcome

NAMES = tuple(RunCounters().as_columns())

PREPARE_SOURCE = """
WITH checkpoint AS (INSERT INTO etl_checkpoint (source) VALUES (%(source)s) ON CONFLICT (source) DO NOTHING)
INSERT INTO etl_totals (source) VALUES (%(source)s) ON CONFLICT (source) DO NOTHING
"""

FAIL_THE_DEAD = """
UPDATE etl_run AS run
SET status = 'failed', end_time = heartbeat, duration_ms = extract(epoch FROM heartbeat - start_time) * 1000,
    error_message = 'interrupted: the process that ran it is gone (last sign of life '
        || to_char(heartbeat AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') || ' UTC)'
WHERE status = 'in_progress' AND heartbeat IS NOT NULL
"""
"""A run ends when it was last heard of. One without a heartbeat was opened by hand, and nobody takes it for dead."""

GONE = """status = 'in_progress' AND heartbeat < clock_timestamp() - make_interval(secs => %(lease_seconds)s)
    AND NOT EXISTS (
        SELECT FROM source_lease AS lease
        WHERE lease.source = run.source AND lease.run_id = run.run_id
            AND lease.holder IS NOT NULL AND lease.expires_at > clock_timestamp()
    )"""
"""Nobody has heard of the process of this run for longer than a lease, by the database's clock."""

FAIL_DEAD_RUNS = f"{FAIL_THE_DEAD} AND source = %(source)s RETURNING run_id"

LINK_DEAD_RUNS = """
UPDATE etl_run SET metadata = metadata || jsonb_build_object('resumed_by', %(run_id)s::text) WHERE run_id = ANY(%(dead)s)
"""

OPEN = "INSERT INTO etl_run (run_id, source, metadata) VALUES (%(run_id)s, %(source)s, %(metadata)s)"

FIRST_HEARTBEAT = "UPDATE etl_run SET heartbeat = clock_timestamp() WHERE run_id = %(run_id)s"

SET = ", ".join(f"{name} = {name} + %({name})s" for name in NAMES)

COUNT_RUN = f"""
UPDATE etl_run SET {SET}, heartbeat = CASE WHEN heartbeat IS NOT NULL THEN clock_timestamp() END
WHERE run_id = %(run_id)s RETURNING {", ".join(NAMES)}
"""

COUNT_SOURCE = f"UPDATE etl_totals SET {SET} WHERE source = %(source)s"

COUNTERS = f"SELECT {', '.join(NAMES)} FROM etl_run WHERE run_id = %(run_id)s"

HEARTBEAT = (
    "UPDATE etl_run SET heartbeat = clock_timestamp() WHERE run_id = %(run_id)s AND status = 'in_progress'"
)

NOTICES = "SELECT coalesce(metadata -> 'notices', '[]') FROM etl_run WHERE run_id = %(run_id)s FOR UPDATE"

NOTE = """
UPDATE etl_run SET metadata = metadata || jsonb_build_object('notices', %(notices)s::jsonb) WHERE run_id = %(run_id)s
"""

MOST_NOTICES: Final = 50
LONGEST_MESSAGE: Final = 500

END = """
UPDATE etl_run
SET status = %(status)s, error_message = %(error)s, end_time = clock_timestamp(),
    duration_ms = extract(epoch FROM clock_timestamp() - start_time) * 1000
WHERE run_id = %(run_id)s AND status = 'in_progress'
"""

PARK = """
UPDATE etl_run
SET status = 'partial', error_message = %(reason)s, end_time = clock_timestamp(),
    duration_ms = extract(epoch FROM clock_timestamp() - start_time) * 1000,
    metadata = metadata || jsonb_build_object('resume_at', %(resume_at)s::timestamptz)
WHERE run_id = %(run_id)s AND status = 'in_progress'
"""

MARK_SOURCE = """
UPDATE etl_totals
SET last_failure = CASE WHEN %(status)s = 'failed' THEN clock_timestamp() ELSE last_failure END,
    last_success = CASE WHEN %(status)s = 'failed' THEN last_success ELSE clock_timestamp() END
WHERE source = %(source)s
"""


async def begin_run(
    connection: AsyncConnection[Any], source: SourceName, run_id: RunId, details: Mapping[str, Any]
) -> None:
    """Open a run; whoever left one open for this source is gone, since the lease is ours."""
    parameters = {"source": source, "run_id": run_id}
    dead = [row[0] for row in await (await connection.execute(FAIL_DEAD_RUNS, parameters)).fetchall()]
    resumes = {"resumes": dead[-1]} if dead else {}
    if dead:
        await connection.execute(LINK_DEAD_RUNS, parameters | {"dead": dead})
        await connection.execute(MARK_SOURCE, parameters | {"status": RunStatus.FAILED})
    await open_run(connection, source, run_id, {**details, **resumes})
    await connection.execute(FIRST_HEARTBEAT, parameters)


async def open_run(
    connection: AsyncConnection[Any], source: SourceName, run_id: RunId, details: Mapping[str, Any]
) -> None:
    parameters = {"source": source, "run_id": run_id}
    await connection.execute(PREPARE_SOURCE, parameters)
    await connection.execute(OPEN, parameters | {"metadata": Jsonb(dict(details))})


async def source_of(connection: AsyncConnection[Any], run_id: RunId) -> SourceName | None:
    row = await (
        await connection.execute("SELECT source FROM etl_run WHERE run_id = %s", (run_id,))
    ).fetchone()
    return row[0] if row else None


async def count(
    connection: AsyncConnection[Any], source: SourceName, run_id: RunId, added: RunCounters
) -> RunCounters:
    """Add to the ledger of the run and of the source; the run's counters so far."""
    parameters = {"source": source, "run_id": run_id, **added.as_columns()}
    await connection.execute(COUNT_SOURCE, parameters)
    row = await (await connection.execute(COUNT_RUN, parameters)).fetchone()
    return _counters(row)


async def note(connection: AsyncConnection[Any], run_id: RunId, notices: Sequence[Notice]) -> None:
    """Keep *notices* in the run's metadata: one entry a code, with how often it came and what the latest one said.

    Of its details `records` add up, and of those that begin with `max_` the greatest is kept.
    """
    parameters = {"run_id": run_id}
    row = await (await connection.execute(NOTICES, parameters)).fetchone()
    kept: dict[str, dict[str, Any]] = {entry["code"]: entry for entry in row[0]} if row else {}
    for notice in notices:
        code, before = notice.code.value, kept.get(notice.code.value)
        if before is None and len(kept) >= MOST_NOTICES:
            continue
        kept[code] = {
            "code": code,
            "message": notice.message[:LONGEST_MESSAGE],
            "details": _added(before["details"] if before else {}, notice.details),
            "count": (before["count"] if before else 0) + 1,
        }
    await connection.execute(NOTE, parameters | {"notices": Jsonb(list(kept.values()))})


def _added(before: Mapping[str, Any], details: Mapping[str, Any]) -> dict[str, Any]:
    added = dict(details)
    for name in before.keys() & details.keys():
        if name == "records":
            added[name] = before[name] + details[name]
        elif name.startswith("max_"):
            added[name] = max(before[name], details[name])
    return added


async def counters(connection: AsyncConnection[Any], run_id: RunId) -> RunCounters:
    return _counters(await (await connection.execute(COUNTERS, {"run_id": run_id})).fetchone())


async def end_run(
    connection: AsyncConnection[Any],
    source: SourceName,
    run_id: RunId,
    error: str | None,
    *,
    withheld: bool = False,
) -> tuple[RunStatus, RunCounters]:
    """Close a run that is still open; one that was closed by somebody else stays as it is. *withheld*: it is partial at best."""
    counted = await counters(connection, run_id)
    status, message = outcome(counted, error)
    if withheld and status is RunStatus.SUCCESS:
        status = RunStatus.PARTIAL
    parameters = {"source": source, "run_id": run_id, "status": status, "error": message}
    if (await connection.execute(END, parameters)).rowcount == 1:
        await connection.execute(MARK_SOURCE, parameters)
    return status, counted


async def park_run(
    connection: AsyncConnection[Any], run_id: RunId, reason: str, resume_at: datetime
) -> tuple[RunStatus, RunCounters]:
    """Close a run that goes on at *resume_at*. It has neither succeeded nor failed, so the source's last success stays."""
    await connection.execute(PARK, {"run_id": run_id, "reason": reason, "resume_at": resume_at})
    return RunStatus.PARTIAL, await counters(connection, run_id)


def _counters(row: Any) -> RunCounters:
    return RunCounters() if row is None else RunCounters(*row[1:])
