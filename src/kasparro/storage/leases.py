"""The lease: one writer per source, by the database's clock, across processes and machines.

A lease is a row with a token that only grows. Whoever took it last has the newest token, and every batch checks its token in the
transaction that writes: a process that was stopped for longer than its lease cannot write afterwards.
"""

from __future__ import annotations

import socket
from dataclasses import dataclass
from typing import Any

from psycopg import AsyncConnection

from kasparro.core.errors import LeaseHeld
from kasparro.core.this_process import process_name
from kasparro.schemas.ingest import Place, RunId, SourceName

ALIVE = """
WITH lease AS (SELECT * FROM source_lease WHERE source = %(source)s FOR UPDATE)
SELECT holder, run_id, expires_at FROM lease WHERE holder IS NOT NULL AND expires_at >= clock_timestamp()
"""

TAKE = """
INSERT INTO source_lease AS lease (source, token, batch_seq, holder, run_id, expires_at)
VALUES (%(source)s, 1, 0, %(holder)s, %(run_id)s, clock_timestamp() + make_interval(secs => %(seconds)s))
ON CONFLICT (source) DO UPDATE
SET token = lease.token + 1, batch_seq = 0, holder = excluded.holder, run_id = excluded.run_id,
    expires_at = excluded.expires_at
WHERE lease.holder IS NULL OR lease.expires_at < clock_timestamp()
RETURNING token
"""

EVICT = """
SELECT pg_terminate_backend(activity.pid)
FROM source_lease AS lease, pg_stat_activity AS activity
WHERE lease.source = %(source)s AND lease.expires_at < clock_timestamp() AND lease.holder <> %(holder)s
  AND activity.datname = current_database() AND activity.usename = current_user
  AND split_part(activity.application_name, ' ', 1) = split_part(current_setting('application_name'), ' ', 1)
  AND split_part(activity.application_name, ' ', 2) = split_part(lease.holder, ':', 2) || ':' || split_part(lease.holder, ':', 3)
"""
"""A process stopped in the middle of a COPY keeps its locks: no timeout of the server's ends the waiting for its rows."""

HELD_BY = "SELECT holder, run_id, expires_at FROM source_lease WHERE source = %(source)s"

RENEW = """
UPDATE source_lease SET expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE source = %(source)s AND token = %(token)s
"""

RELEASE = """
UPDATE source_lease SET holder = NULL, run_id = NULL, expires_at = clock_timestamp()
WHERE source = %(source)s AND token = %(token)s
"""

ADVANCE = """
UPDATE source_lease
SET batch_seq = batch_seq + 1, expires_at = clock_timestamp() + make_interval(secs => %(seconds)s)
WHERE source = %(source)s AND token = %(token)s AND batch_seq = %(batch_seq)s
"""

LOOK = "SELECT token, batch_seq FROM source_lease WHERE source = %(source)s"

POSITION = "SELECT token, batch_seq FROM source_lease WHERE source = %(source)s FOR UPDATE"


@dataclass(frozen=True, slots=True)
class Lease:
    """The right to write for a source; *seconds* is how long it lasts without a sign of life."""

    source: SourceName
    run_id: RunId
    token: int
    seconds: float

    @property
    def parameters(self) -> dict[str, Any]:
        return {"source": self.source, "run_id": self.run_id, "token": self.token, "seconds": self.seconds}


def holder_name() -> str:
    """This process among those of all machines."""
    return f"{socket.gethostname()}:{process_name()}"


async def take(connection: AsyncConnection[Any], source: SourceName, run_id: RunId, seconds: float) -> Lease:
    """Take the lease of *source*, or raise `LeaseHeld` saying by whom it is held.

    What a process that let its lease run out has open in the database is ended, its other sources included: those try again.
    """
    parameters = {"source": source, "run_id": run_id, "holder": holder_name(), "seconds": seconds}
    await connection.execute(EVICT, parameters)
    row = await (await connection.execute(TAKE, parameters)).fetchone()
    if row is None:
        holder, held_run, expires_at = await _one(connection, HELD_BY, parameters)
        raise LeaseHeld(source, holder or "a process that is just ending", held_run, expires_at)
    return Lease(source, run_id, row[0], seconds)


async def refuse_if_held(connection: AsyncConnection[Any], source: SourceName) -> None:
    """Raise `LeaseHeld` if *source* is being ingested; else keep it from starting until the transaction ends."""
    row = await _one(connection, ALIVE, {"source": source})
    if row is not None:
        raise LeaseHeld(source, *row)


async def renew(connection: AsyncConnection[Any], lease: Lease) -> bool:
    """Show a sign of life; False when somebody else has taken over."""
    return (await connection.execute(RENEW, lease.parameters)).rowcount == 1


async def release(connection: AsyncConnection[Any], lease: Lease) -> None:
    await connection.execute(RELEASE, lease.parameters)


async def is_free(connection: AsyncConnection[Any], lease: Lease, place: Place) -> bool:
    """Say whether *place* can still be claimed, without waiting for anybody: what is written for nothing costs time."""
    token, batch_seq = await _one(connection, LOOK, lease.parameters)
    return bool(token == lease.token and batch_seq <= place)


async def advance(connection: AsyncConnection[Any], lease: Lease, place: Place) -> bool:
    """Claim *place* for the batch of this transaction; False when it cannot be had."""
    return (await connection.execute(ADVANCE, lease.parameters | {"batch_seq": place})).rowcount == 1


async def position(connection: AsyncConnection[Any], lease: Lease) -> tuple[int, int]:
    """The token and the last committed batch of the source, after waiting for a commit that is still under way."""
    token, batch_seq = await _one(connection, POSITION, lease.parameters)
    return token, batch_seq


async def _one(connection: AsyncConnection[Any], statement: str, parameters: dict[str, Any]) -> Any:
    return await (await connection.execute(statement, parameters)).fetchone()
