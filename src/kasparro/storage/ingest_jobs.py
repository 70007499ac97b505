"""One job of the queue: what it asks for, and the statements that both sides of the queue use.

The tables and functions (`procrastinate_*`) are those of procrastinate 3.10, made by the first migration.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any, Literal, Self

import psycopg
from psycopg.rows import class_row
from psycopg.types.json import Jsonb

from kasparro.schemas.ingest import RunId, SourceName, Trigger

Connection = psycopg.AsyncConnection[Any]

QUEUE = TASK = "ingest"


@dataclass(frozen=True, slots=True)
class IngestJob:
    """The arguments of a job: run *source* as *run_id*.

    `resumes` is the run that was cut off and that this one continues; `takeovers` counts how often a process was lost with the
    job in hand, `waits` how often the source was found busy.
    """

    source: SourceName
    run_id: RunId
    trigger: Trigger
    full: bool = False
    resumes: RunId | None = None
    takeovers: int = 0
    waits: int = 0

    @property
    def lock(self) -> str:
        return lock_name(self.source)

    def as_args(self) -> Jsonb:
        return Jsonb(asdict(self))

    @classmethod
    def from_args(cls, args: Mapping[str, Any]) -> Self:
        """Unknown arguments are left alone: a newer process may have queued the job."""
        known = {f.name: args[f.name] for f in fields(cls) if f.name in args}
        return cls(**known | {"trigger": Trigger(args["trigger"])})


@dataclass(frozen=True, slots=True)
class Occupied:
    """Why no run of a source can be queued: one is waiting or running already."""

    run_id: RunId | None
    state: Literal["todo", "doing"]

    def __str__(self) -> str:
        doing = "being ingested" if self.state == "doing" else "queued"
        return f"already {doing} as run {self.run_id}"


def lock_name(source: str) -> str:
    return f"source:{source}"


async def lock_source(connection: Connection, source: str) -> None:
    """Until the transaction ends, nobody else looks whether *source* is occupied."""
    await connection.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", [lock_name(source)])


async def occupied(connection: Connection, source: str) -> Occupied | None:
    """Who has *source*: a job that runs or waits, or a process in the foreground by its lease."""
    cursor = connection.cursor(row_factory=class_row(Occupied))
    await cursor.execute(
        """
        SELECT args->>'run_id' AS run_id, status::text AS state FROM procrastinate_jobs
         WHERE lock = %s AND status IN ('todo', 'doing')
        UNION ALL
        SELECT run_id, 'doing' FROM source_lease
         WHERE source = %s AND holder IS NOT NULL AND expires_at > clock_timestamp()
        ORDER BY state LIMIT 1
        """,
        [lock_name(source), source],
    )
    return await cursor.fetchone()


async def queue_job(connection: Connection, job: IngestJob) -> None:
    await connection.execute(
        """
        SELECT procrastinate_defer_jobs_v1(
            ARRAY[ROW(%s, %s, 0, %s, %s, %s, NULL)]::procrastinate_job_to_defer_v1[])
        """,
        [QUEUE, TASK, job.lock, job.lock, job.as_args()],
    )


async def link_forward(connection: Connection, run_id: RunId, resumed_by: RunId) -> None:
    await connection.execute(
        "UPDATE etl_run SET metadata = metadata || jsonb_build_object('resumed_by', %s::text) WHERE run_id = %s",
        [resumed_by, run_id],
    )
